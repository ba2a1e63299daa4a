//! What one client says and is answered.
//!
//! The protocol's own handlers would start every statement of a text before the first is sent,
//! and collect all rows of a prepared one; here one is answered after the other, row by row.

mod extended;
mod memory;
mod progress;

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion_postgres::pgwire::api::auth::StartupHandler;
use datafusion_postgres::pgwire::api::cancel::CancelHandler;
use datafusion_postgres::pgwire::api::portal::{Format, Portal};
use datafusion_postgres::pgwire::api::query::{
    ExtendedQueryHandler, SimpleQueryHandler, send_ready_for_query,
};
use datafusion_postgres::pgwire::api::results::{
    DescribePortalResponse, DescribeResponse as _, DescribeStatementResponse, FieldFormat,
    FieldInfo, Response, Tag,
};
use datafusion_postgres::pgwire::api::stmt::{QueryParser, StoredStatement};
use datafusion_postgres::pgwire::api::store::{Entry as Stored, PortalStore};
use datafusion_postgres::pgwire::api::{
    ClientInfo, ClientPortalStore, DEFAULT_NAME, PgWireConnectionState, Type,
};
use datafusion_postgres::pgwire::error::{PgWireError, PgWireResult};
use datafusion_postgres::pgwire::messages::cancel::CancelRequest;
use datafusion_postgres::pgwire::messages::data::DataRow;
use datafusion_postgres::pgwire::messages::extendedquery::{
    Bind, BindComplete, Close, CloseComplete, Execute, Parse, ParseComplete, PortalSuspended,
    Sync as PgSync, TARGET_TYPE_BYTE_STATEMENT,
};
use datafusion_postgres::pgwire::messages::response::{
    EmptyQueryResponse, ReadyForQuery, TransactionStatus,
};
use datafusion_postgres::pgwire::messages::simplequery::Query;
use datafusion_postgres::pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};
use futures::{Sink, SinkExt as _};

use super::Shared;
use super::failure::{of_sql, refused};
use super::login::Entry;
use super::portal::{self, OpenPortal};
use super::statement::{self, Asked, Kind, STATEMENT_TIMEOUT, STATEMENTS};
use super::{parameters, rows};
use crate::sql::{Described, Manner, PARAMETERS, SqlRequest};
use memory::Memory;
use progress::Progress;

/// The conversation with one client.
pub(super) struct Conversation {
    shared: Arc<Shared>,
    entry: Entry,
    memory: Memory,
    /// How far the answers have come.
    pub(super) progress: Progress,
}

impl Conversation {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            entry: shared.login.begin(&shared.keys),
            memory: Memory::new(shared.limits.statements),
            progress: Progress::default(),
            shared,
        }
    }

    /// Whether the client has not said yet who it is.
    pub(super) fn is_coming_in(&self) -> bool {
        self.memory.number().is_none()
    }

    /// Ends every query that stands behind a portal.
    pub(super) fn close_portals(&self) {
        self.memory.close_portals();
    }

    /// A question to the engine, under an id by which a cancel request finds it.
    fn request(&self, text: &str, manner: Manner) -> PgWireResult<SqlRequest> {
        let id = self.memory.next_id();
        let request = SqlRequest::new(text)
            .through("postgres")
            .in_manner(manner)
            .named(&id)
            .map_err(|error| of_sql(&error))?;
        Ok(match self.memory.time_limit() {
            Some(limit) => request.within_time(limit),
            None => request,
        })
    }

    /// Reads a statement that is to be prepared.
    ///
    /// **Errors**: it is not admitted, or names a parameter beyond the last one.
    async fn admitted(&self, text: &str) -> PgWireResult<Asked> {
        let asked = Asked::read(text);
        // Whoever describes it gets a type for each of them.
        if asked.parameters > PARAMETERS {
            let sentence = format!("a statement has at most {PARAMETERS} parameters");
            return Err(refused("54023", sentence));
        }
        if let Kind::Query(manner) = asked.kind {
            let request = SqlRequest::new(text).in_manner(manner);
            let _asking = self.progress.ask();
            let admitted = self.shared.engine.admit(&request).await;
            admitted.map_err(|error| of_sql(&error))?;
        }
        Ok(asked)
    }

    /// Runs a query until its columns are known.
    async fn open(&self, request: &SqlRequest, format: &Format) -> PgWireResult<OpenPortal> {
        let _asking = self.progress.ask();
        let answer = self.shared.engine.open(request).await;
        OpenPortal::new(answer.map_err(|error| of_sql(&error))?, format)
    }

    /// Runs a portal's query until its columns are known.
    async fn start(
        &self,
        portal: &Arc<Portal<Arc<Asked>>>,
        manner: Manner,
    ) -> PgWireResult<OpenPortal> {
        let asked = &portal.statement.statement;
        let mut request = self.request(&asked.text, manner)?;
        if portal.parameter_len() > 0 {
            request = request.with_late_parameters(parameters::of_portal(portal));
        }
        let open = self.open(&request, &portal.result_column_format).await?;
        if let Some(described) = asked.described.get() {
            let told = portal::fields(&described.schema, &portal.result_column_format)?;
            if told.as_slice() != open.fields() {
                return Err(refused(
                    "0A000",
                    "the tables changed since the statement was described; prepare it again",
                ));
            }
        }
        Ok(open)
    }

    /// What a statement would answer, found out once.
    async fn describe(&self, asked: &Asked, manner: Manner) -> PgWireResult<Described> {
        if let Some(described) = asked.described.get() {
            return Ok(described.clone());
        }
        let request = self.request(&asked.text, manner)?;
        let _asking = self.progress.ask();
        let described = self.shared.engine.describe(&request).await;
        let described = described.map_err(|error| of_sql(&error))?;
        Ok(asked.described.get_or_init(|| described).clone())
    }

    /// Sends the rows of a query, at most so many where it is not 0; says how many.
    async fn send_rows<C>(
        &self,
        client: &mut C,
        open: &mut OpenPortal,
        at_most: usize,
    ) -> PgWireResult<usize>
    where
        C: Sink<PgWireBackendMessage> + Unpin + Send,
        PgWireError: From<C::Error>,
    {
        let mut sent = 0;
        loop {
            let asking = self.progress.ask();
            let rows = open.next_rows().await?;
            drop(asking);
            let Some(rows) = rows else {
                return Ok(sent);
            };
            for row in rows.by_ref() {
                send_row(client, row?).await?;
                self.progress.advance();
                sent += 1;
                if sent == at_most {
                    return Ok(sent);
                }
            }
        }
    }

    /// Answers what is no query; gives the names of prepared statements to forget.
    async fn perform<C>(
        &self,
        client: &mut C,
        kind: &Kind,
        describe: bool,
    ) -> PgWireResult<Vec<String>>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send,
        PgWireError: From<C::Error>,
    {
        let mut forgotten = Vec::new();
        let tag = match kind {
            Kind::Query(_) => return Ok(forgotten),
            Kind::Show { name, value } => {
                if describe {
                    let message = portal::description(&shown(name));
                    client
                        .feed(PgWireBackendMessage::RowDescription(message))
                        .await?;
                }
                let limit = (name == STATEMENT_TIMEOUT).then(|| self.memory.time_limit());
                let value = limit.map_or_else(|| value.clone(), statement::shown_limit);
                send_row(client, rows::of_text(&value)).await?;
                Tag::new("SHOW")
            }
            Kind::Begin(tag) => {
                let status = client.transaction_status().to_in_transaction_state();
                client.set_transaction_status(status);
                Tag::new(tag)
            }
            Kind::End(tag) => {
                // In the protocol, too, a failed transaction is not committed.
                let failed = matches!(client.transaction_status(), TransactionStatus::Error);
                client.set_transaction_status(TransactionStatus::Idle);
                Tag::new(if failed { "ROLLBACK" } else { tag })
            }
            Kind::TimeLimit(limit) => {
                self.memory.set_time_limit(*limit);
                Tag::new("SET")
            }
            Kind::Deallocate(name) => {
                forgotten = self.memory.forget(name.as_deref());
                Tag::new("DEALLOCATE")
            }
            Kind::Nothing(tag) => Tag::new(tag),
        };
        client
            .feed(PgWireBackendMessage::CommandComplete(tag.into()))
            .await?;
        Ok(forgotten)
    }

    /// Answers one statement of a text.
    async fn answer<C>(&self, client: &mut C, text: &str) -> PgWireResult<Vec<String>>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send,
        PgWireError: From<C::Error>,
    {
        let asked = Asked::read(text);
        let Kind::Query(manner) = asked.kind else {
            return self.perform(client, &asked.kind, true).await;
        };
        let request = self.request(text, manner)?;
        let mut open = self.open(&request, &Format::UnifiedText).await?;
        let description = portal::description(open.fields());
        client
            .feed(PgWireBackendMessage::RowDescription(description))
            .await?;
        let sent = self.send_rows(client, &mut open, 0).await?;
        let tag = Tag::new("SELECT").with_rows(sent);
        client
            .feed(PgWireBackendMessage::CommandComplete(tag.into()))
            .await?;
        Ok(Vec::new())
    }
}

/// Sends one row; waits while the client does not read.
async fn send_row<C>(client: &mut C, row: DataRow) -> PgWireResult<()>
where
    C: Sink<PgWireBackendMessage> + Unpin + Send,
    PgWireError: From<C::Error>,
{
    Ok(client.feed(PgWireBackendMessage::DataRow(row)).await?)
}

/// The one column of SHOW.
fn shown(name: &str) -> Vec<FieldInfo> {
    let (kind, format) = (Type::TEXT, FieldFormat::Text);
    vec![FieldInfo::new(name.to_owned(), None, None, kind, format)]
}

fn not_ready(state: PgWireConnectionState) -> PgWireResult<()> {
    match state {
        PgWireConnectionState::ReadyForQuery => Ok(()),
        _ => Err(PgWireError::NotReadyForQuery),
    }
}

#[async_trait]
impl StartupHandler for Conversation {
    async fn on_startup<C>(
        &self,
        client: &mut C,
        message: PgWireFrontendMessage,
    ) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        self.entry.on_startup(client, message).await?;
        if matches!(client.state(), PgWireConnectionState::ReadyForQuery) {
            let (number, key) = client.pid_and_secret_key();
            let current = self.memory.enter(number);
            self.shared.cancels.enter(number, key, current);
        }
        Ok(())
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        if let Some(number) = self.memory.number() {
            self.shared.cancels.leave(number);
        }
    }
}

#[async_trait]
impl CancelHandler for Conversation {
    async fn on_cancel_request(&self, request: CancelRequest) {
        let cancels = &self.shared.cancels;
        if let Some(id) = cancels.running(request.pid, &request.secret_key) {
            self.shared.engine.cancel(&id);
        }
    }
}

#[async_trait]
impl SimpleQueryHandler for Conversation {
    async fn on_query<C>(&self, client: &mut C, query: Query) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        not_ready(client.state())?;
        client.set_state(PgWireConnectionState::QueryInProgress);
        // As in PostgreSQL, a text from outside ends what the unnamed portal did.
        self.memory.close_portal(DEFAULT_NAME);
        let statements = statement::split(&query.query);
        if statements.len() > STATEMENTS {
            let sentence = format!("a text has at most {STATEMENTS} statements; send several");
            return Err(refused("54000", sentence));
        }
        if statements.is_empty() {
            client
                .feed(PgWireBackendMessage::EmptyQueryResponse(
                    EmptyQueryResponse::new(),
                ))
                .await?;
        }
        for text in statements {
            for name in self.answer(client, &text).await? {
                client.portal_store().rm_statement(&name);
            }
        }
        client.set_state(PgWireConnectionState::ReadyForQuery);
        let status = client.transaction_status();
        send_ready_for_query(client, status).await
    }

    async fn do_query<C>(&self, _client: &mut C, _query: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        Err(PgWireError::NotReadyForQuery)
    }
}

/// Reads nothing by itself: `on_parse` does.
#[derive(Debug, Default)]
pub(super) struct NoReader;

#[async_trait]
impl QueryParser for NoReader {
    type Statement = Arc<Asked>;

    async fn parse_sql<C>(
        &self,
        _client: &C,
        sql: &str,
        _types: &[Option<Type>],
    ) -> PgWireResult<Option<Self::Statement>>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        Ok(Some(Arc::new(Asked::read(sql))))
    }

    fn get_parameter_types(&self, _asked: &Self::Statement) -> PgWireResult<Vec<Type>> {
        Ok(Vec::new())
    }

    fn get_result_schema(
        &self,
        _asked: &Self::Statement,
        _format: Option<&Format>,
    ) -> PgWireResult<Vec<FieldInfo>> {
        Ok(Vec::new())
    }
}
