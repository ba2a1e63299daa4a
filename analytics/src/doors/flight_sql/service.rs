//! The calls of Flight SQL.

use std::pin::Pin;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::ipc::writer::IpcWriteOptions;
use arrow::record_batch::RecordBatch;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::server::{FlightSqlService, PeekableFlightDataStream};
use arrow_flight::sql::{
    ActionCancelQueryRequest, ActionCancelQueryResult, ActionClosePreparedStatementRequest,
    ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult, Any,
    CommandGetCatalogs, CommandGetDbSchemas, CommandGetSqlInfo, CommandGetTableTypes,
    CommandGetTables, CommandPreparedStatementQuery, CommandPreparedStatementUpdate,
    CommandStatementIngest, CommandStatementQuery, CommandStatementUpdate,
    DoPutPreparedStatementResult, ProstMessageExt, SqlInfo, TicketStatementQuery,
};
use arrow_flight::{
    Action, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, FlightData,
    FlightDescriptor, FlightEndpoint, FlightInfo, HandshakeRequest, HandshakeResponse, IpcMessage,
    SchemaAsIpc, Ticket,
};
use bytes::Bytes;
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use prost::Message as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{Request, Response, Status, Streaming};

use super::failure::{of_sql, read_only, unwritable};
use super::prepared::{self, PreparedStatements};
use super::ticket::{Handle, Ids};
use super::{FlightLimits, listed};
use crate::doors::Token;
use crate::sql::{AnswerStream, Described, SqlEngine, SqlError, SqlRequest};

/// Name of the action that took the place of `CancelQuery`.
const CANCEL_FLIGHT_INFO: &str = "CancelFlightInfo";
/// Values that a client may bind. **Units**: bytes.
const BOUND_BYTES: usize = 1024 * 1024;

/// The service behind the door.
pub(super) struct FlightSql {
    engine: Arc<SqlEngine>,
    token: Token,
    statements: PreparedStatements,
    ids: Ids,
    answers: Arc<Semaphore>,
}

type Data = Pin<Box<dyn Stream<Item = Result<FlightData, Status>> + Send>>;

impl FlightSql {
    pub(super) fn new(engine: Arc<SqlEngine>, token: Token, limits: FlightLimits) -> Self {
        Self {
            engine,
            token,
            statements: PreparedStatements::new(limits.statements),
            ids: Ids::default(),
            answers: Arc::new(Semaphore::new(limits.answers)),
        }
    }

    async fn describe(&self, text: &str) -> Result<Described, Status> {
        let request = SqlRequest::new(text).through("flight");
        let described = self.engine.describe(&request).await;
        described.map_err(|error| of_sql(&error))
    }

    /// Runs a query and sends its rows as they come.
    async fn answer(&self, request: SqlRequest, id: &str) -> Result<Response<Data>, Status> {
        let place = Arc::clone(&self.answers).try_acquire_owned();
        let place = place.map_err(|_| {
            Status::resource_exhausted("too many answers are being sent; read or close some")
        })?;
        let request = request.through("flight");
        let named = request
            .clone()
            .named(id)
            .map_err(|_| Status::invalid_argument("the ticket is not one of this service"))?;
        let answer = match self.engine.open(&named).await {
            // A ticket may be used twice at a time.
            Err(SqlError::IdTaken { .. }) => self.engine.open(&request).await,
            opened => opened,
        };
        Ok(Response::new(sent(
            answer.map_err(|error| of_sql(&error))?,
            place,
        )))
    }

    /// Cancels the query of a ticket.
    fn cancel(&self, info: Option<FlightInfo>) -> CancelStatus {
        let tickets = info.into_iter().flat_map(|info| info.endpoint);
        let tickets = tickets.filter_map(|endpoint| endpoint.ticket);
        let canceled = tickets
            .filter_map(|ticket| Any::decode(ticket.ticket).ok())
            .filter_map(|any| any.unpack::<TicketStatementQuery>().ok().flatten())
            .filter_map(|ticket| Handle::read(&ticket.statement_handle))
            .any(|handle| self.engine.cancel(&handle.id));
        match canceled {
            true => CancelStatus::Cancelled,
            false => CancelStatus::NotCancellable,
        }
    }
}

/// The rows of a query as messages, with the place among the answers until the last one.
fn sent(answer: AnswerStream, place: OwnedSemaphorePermit) -> Data {
    let schema = answer.schema();
    let rows = answer.map_err(|error| FlightError::Tonic(Box::new(of_sql(&error))));
    let messages = FlightDataEncoderBuilder::new()
        .with_schema(schema)
        .build(rows)
        .map_err(Status::from);
    Box::pin(messages.inspect(move |_| {
        let _held = &place;
    }))
}

fn one_batch(batch: Result<RecordBatch, FlightError>) -> Result<Response<Data>, Status> {
    let batch = batch.map_err(|error| unwritable(&error))?;
    let messages = FlightDataEncoderBuilder::new()
        .with_schema(batch.schema())
        .build(stream::once(async move { Ok(batch) }))
        .map_err(Status::from);
    Ok(Response::new(Box::pin(messages)))
}

/// Where the answer of a command is fetched: here, with the command as ticket.
fn fetched_here(
    command: &impl ProstMessageExt,
    schema: &Schema,
    descriptor: FlightDescriptor,
) -> Result<Response<FlightInfo>, Status> {
    let ticket = Ticket::new(command.as_any().encode_to_vec());
    let info = FlightInfo::new()
        .try_with_schema(schema)
        .map_err(|error| unwritable(&error))?
        .with_endpoint(FlightEndpoint::new().with_ticket(ticket))
        .with_descriptor(descriptor);
    Ok(Response::new(info))
}

fn schema_bytes(schema: &Schema) -> Result<Bytes, Status> {
    let options = IpcWriteOptions::default();
    let message: Result<IpcMessage, _> = SchemaAsIpc::new(schema, &options).try_into();
    Ok(message.map_err(|error| unwritable(&error))?.0)
}

/// The parameters of a statement as columns; text where the statement shows no type.
fn parameter_schema(described: &Described) -> Schema {
    let fields = described
        .parameters
        .iter()
        .enumerate()
        .map(|(place, field)| {
            let kind = field.as_ref().map(|field| field.data_type().clone());
            let kind = kind.unwrap_or(arrow::datatypes::DataType::Utf8);
            Field::new(format!("${}", place + 1), kind, true)
        });
    Schema::new(fields.collect::<Vec<_>>())
}

#[tonic::async_trait]
impl FlightSqlService for FlightSql {
    type FlightService = FlightSql;

    async fn do_handshake(
        &self,
        _request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<
        Response<Pin<Box<dyn Stream<Item = Result<HandshakeResponse, Status>> + Send>>>,
        Status,
    > {
        // Whoever comes here has shown the token already; it is the bearer token of what follows.
        let token = self.token.needed().unwrap_or_default().to_owned();
        let answer = HandshakeResponse {
            protocol_version: 0,
            payload: token.clone().into(),
        };
        let answers: Pin<Box<dyn Stream<Item = _> + Send>> = Box::pin(stream::iter([Ok(answer)]));
        let mut response = Response::new(answers);
        let bearer = format!("Bearer {token}").parse();
        let bearer = bearer.map_err(|_| Status::internal("the token is no header value"))?;
        response.metadata_mut().insert("authorization", bearer);
        Ok(response)
    }

    async fn get_flight_info_statement(
        &self,
        query: CommandStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let described = self.describe(&query.query).await?;
        let handle = Handle {
            id: self.ids.next(),
            text: query.query,
        };
        let ticket = TicketStatementQuery {
            statement_handle: handle.to_bytes().into(),
        };
        fetched_here(&ticket, &described.schema, request.into_inner())
    }

    async fn do_get_statement(
        &self,
        ticket: TicketStatementQuery,
        _request: Request<Ticket>,
    ) -> Result<Response<<Self as FlightService>::DoGetStream>, Status> {
        let handle = Handle::read(&ticket.statement_handle)
            .ok_or_else(|| Status::invalid_argument("the ticket is not one of this service"))?;
        self.answer(SqlRequest::new(&handle.text), &handle.id).await
    }

    async fn do_action_create_prepared_statement(
        &self,
        query: ActionCreatePreparedStatementRequest,
        _request: Request<Action>,
    ) -> Result<ActionCreatePreparedStatementResult, Status> {
        let described = self.describe(&query.query).await?;
        let dataset_schema = schema_bytes(&described.schema)?;
        let parameter_schema = schema_bytes(&parameter_schema(&described))?;
        let handle = self.statements.keep(query.query);
        Ok(ActionCreatePreparedStatementResult {
            prepared_statement_handle: handle.into(),
            dataset_schema,
            parameter_schema,
        })
    }

    async fn do_action_close_prepared_statement(
        &self,
        query: ActionClosePreparedStatementRequest,
        _request: Request<Action>,
    ) -> Result<(), Status> {
        self.statements.close(&query.prepared_statement_handle);
        Ok(())
    }

    async fn do_put_prepared_statement_query(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<DoPutPreparedStatementResult, Status> {
        let mut bytes = 0;
        let messages = request.into_inner().into_peekable().map(move |message| {
            let message = message?;
            prepared::check_plain(&message)?;
            bytes += message.data_body.len() + message.data_header.len();
            match bytes > BOUND_BYTES {
                true => Err(Status::invalid_argument(format!(
                    "at most {BOUND_BYTES} bytes of values can be bound"
                ))),
                false => Ok(message),
            }
        });
        let messages = messages.map_err(|status| FlightError::Tonic(Box::new(status)));
        let batches: Vec<RecordBatch> = FlightRecordBatchStream::new_from_flight_data(messages)
            .try_collect()
            .await?;
        let handle = query.prepared_statement_handle;
        self.statements.bind(&handle, prepared::values(&batches)?)?;
        Ok(DoPutPreparedStatementResult {
            prepared_statement_handle: Some(handle),
        })
    }

    async fn get_flight_info_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let statement = self.statements.get(&query.prepared_statement_handle)?;
        let described = self.describe(&statement.text).await?;
        fetched_here(&query, &described.schema, request.into_inner())
    }

    async fn do_get_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        _request: Request<Ticket>,
    ) -> Result<Response<<Self as FlightService>::DoGetStream>, Status> {
        let statement = self.statements.get(&query.prepared_statement_handle)?;
        let request = SqlRequest::new(&statement.text);
        let request = match statement.values {
            Some(values) => request.with_parameters(values),
            None => request,
        };
        self.answer(request, &self.ids.next()).await
    }

    async fn get_flight_info_catalogs(
        &self,
        query: CommandGetCatalogs,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        fetched_here(&query, &query.into_builder().schema(), request.into_inner())
    }

    async fn do_get_catalogs(
        &self,
        query: CommandGetCatalogs,
        _request: Request<Ticket>,
    ) -> Result<Response<<Self as FlightService>::DoGetStream>, Status> {
        one_batch(listed::catalogs(query.into_builder()))
    }

    async fn get_flight_info_schemas(
        &self,
        query: CommandGetDbSchemas,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let schema: SchemaRef = query.clone().into_builder().schema();
        fetched_here(&query, &schema, request.into_inner())
    }

    async fn do_get_schemas(
        &self,
        query: CommandGetDbSchemas,
        _request: Request<Ticket>,
    ) -> Result<Response<<Self as FlightService>::DoGetStream>, Status> {
        one_batch(listed::schemas(query.into_builder()))
    }

    async fn get_flight_info_tables(
        &self,
        query: CommandGetTables,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let schema: SchemaRef = query.clone().into_builder().schema();
        fetched_here(&query, &schema, request.into_inner())
    }

    async fn do_get_tables(
        &self,
        query: CommandGetTables,
        _request: Request<Ticket>,
    ) -> Result<Response<<Self as FlightService>::DoGetStream>, Status> {
        one_batch(listed::tables(query.into_builder(), &self.engine))
    }

    async fn get_flight_info_table_types(
        &self,
        query: CommandGetTableTypes,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        fetched_here(&query, &query.into_builder().schema(), request.into_inner())
    }

    async fn do_get_table_types(
        &self,
        query: CommandGetTableTypes,
        _request: Request<Ticket>,
    ) -> Result<Response<<Self as FlightService>::DoGetStream>, Status> {
        let mut kinds = query.into_builder();
        listed::KINDS
            .into_iter()
            .for_each(|kind| kinds.append(kind));
        one_batch(kinds.build())
    }

    async fn get_flight_info_sql_info(
        &self,
        query: CommandGetSqlInfo,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let schema = query.clone().into_builder(&listed::INFO).schema();
        fetched_here(&query, &schema, request.into_inner())
    }

    async fn do_get_sql_info(
        &self,
        query: CommandGetSqlInfo,
        _request: Request<Ticket>,
    ) -> Result<Response<<Self as FlightService>::DoGetStream>, Status> {
        one_batch(query.into_builder(&listed::INFO).build())
    }

    async fn do_action_cancel_query(
        &self,
        query: ActionCancelQueryRequest,
        _request: Request<Action>,
    ) -> Result<ActionCancelQueryResult, Status> {
        // The results of the old action have the numbers of the new one.
        Ok(ActionCancelQueryResult {
            result: self.cancel(FlightInfo::decode(query.info).ok()).into(),
        })
    }

    async fn do_action_fallback(
        &self,
        request: Request<Action>,
    ) -> Result<Response<<Self as FlightService>::DoActionStream>, Status> {
        let action = request.into_inner();
        if action.r#type != CANCEL_FLIGHT_INFO {
            let sentence = format!("the action {} is not offered", action.r#type);
            return Err(Status::unimplemented(sentence));
        }
        let asked = CancelFlightInfoRequest::decode(action.body)
            .map_err(|_| Status::invalid_argument("the request to cancel cannot be read"))?;
        let result = CancelFlightInfoResult {
            status: self.cancel(asked.info).into(),
        };
        let result = arrow_flight::Result {
            body: result.encode_to_vec().into(),
        };
        Ok(Response::new(Box::pin(stream::iter([Ok(result)]))))
    }

    async fn do_put_statement_update(
        &self,
        _query: CommandStatementUpdate,
        _request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        Err(read_only())
    }

    async fn do_put_statement_ingest(
        &self,
        _query: CommandStatementIngest,
        _request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        Err(read_only())
    }

    async fn do_put_prepared_statement_update(
        &self,
        _query: CommandPreparedStatementUpdate,
        _request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        Err(read_only())
    }

    async fn register_sql_info(&self, _id: i32, _info: &SqlInfo) {}
}
