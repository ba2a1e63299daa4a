//! The extended protocol: parse, bind, describe, execute.

use super::*;

#[async_trait]
impl ExtendedQueryHandler for Conversation {
    type Statement = Arc<Asked>;
    type QueryParser = NoReader;

    fn query_parser(&self) -> Arc<Self::QueryParser> {
        Arc::new(NoReader)
    }

    async fn on_parse<C>(&self, client: &mut C, message: Parse) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let name = message.name.as_deref().unwrap_or(DEFAULT_NAME).to_owned();
        let mut statements = statement::split(&message.query);
        if statements.len() > 1 {
            return Err(refused(
                "42601",
                "a prepared statement is one statement; prepare the others by themselves",
            ));
        }
        let asked = match statements.pop() {
            None => None,
            Some(text) => Some(self.admitted(&text).await?),
        };
        // A text that is refused takes no place.
        self.memory.prepare(&name)?;
        match asked {
            None => client.portal_store().put_empty_statement(&name),
            Some(asked) => {
                let types = message.type_oids.iter().map(|oid| Type::from_oid(*oid));
                // A client that does not know the type says so with a number, too.
                let types = types.map(|known| known.filter(|kind| *kind != Type::UNKNOWN));
                let stored = StoredStatement::new(name, Arc::new(asked), types.collect());
                client.portal_store().put_statement(Arc::new(stored));
            }
        }
        client
            .feed(PgWireBackendMessage::ParseComplete(ParseComplete::new()))
            .await?;
        Ok(())
    }

    async fn on_bind<C>(&self, client: &mut C, message: Bind) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let of = message.statement_name.as_deref().unwrap_or(DEFAULT_NAME);
        let name = message.portal_name.as_deref().unwrap_or(DEFAULT_NAME);
        self.memory.close_portal(name);
        self.memory.bind(name)?;
        match client.portal_store().get_statement(of) {
            Some(Stored::Value(statement)) => {
                let portal = Portal::try_new(&message, statement)?;
                parameters::check_formats(&portal)?;
                client.portal_store().put_portal(Arc::new(portal));
            }
            Some(Stored::Empty) if message.parameters.is_empty() => {
                client.portal_store().put_empty_portal(name);
            }
            Some(Stored::Empty) => {
                return Err(refused("08P01", "an empty statement has no parameters"));
            }
            None => return Err(PgWireError::StatementNotFound(of.to_owned())),
        }
        client
            .feed(PgWireBackendMessage::BindComplete(BindComplete::new()))
            .await?;
        Ok(())
    }

    async fn do_describe_statement<C>(
        &self,
        _client: &mut C,
        target: &StoredStatement<Self::Statement>,
    ) -> PgWireResult<DescribeStatementResponse>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let manner = match &target.statement.kind {
            Kind::Query(manner) => *manner,
            Kind::Show { name, .. } => {
                return Ok(DescribeStatementResponse::new(Vec::new(), shown(name)));
            }
            _ => return Ok(DescribeStatementResponse::no_data()),
        };
        let described = self.describe(&target.statement, manner).await?;
        let mut types = parameters::types(&target.statement, &described.parameters)?;
        for (kind, given) in types.iter_mut().zip(&target.parameter_types) {
            if let Some(given) = given {
                kind.clone_from(given);
            }
        }
        let fields = portal::fields(&described.schema, &Format::UnifiedText)?;
        Ok(DescribeStatementResponse::new(types, fields))
    }

    async fn do_describe_portal<C>(
        &self,
        client: &mut C,
        target: &Portal<Self::Statement>,
    ) -> PgWireResult<DescribePortalResponse>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let manner = match &target.statement.statement.kind {
            Kind::Query(manner) => *manner,
            Kind::Show { name, .. } => return Ok(DescribePortalResponse::new(shown(name))),
            _ => return Ok(DescribePortalResponse::no_data()),
        };
        let Some(Stored::Value(portal)) = client.portal_store().get_portal(&target.name) else {
            return Err(PgWireError::PortalNotFound(target.name.clone()));
        };
        // Its execution comes next in all likelihood: it is begun, so that it is planned once.
        let open = self.start(&portal, manner).await?;
        let fields = open.fields().to_vec();
        self.memory.keep_portal(&target.name, open);
        Ok(DescribePortalResponse::new(fields))
    }

    async fn on_execute<C>(&self, client: &mut C, message: Execute) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        not_ready(client.state())?;
        client.set_state(PgWireConnectionState::QueryInProgress);
        let name = message.name.as_deref().unwrap_or(DEFAULT_NAME);
        match client.portal_store().get_portal(name) {
            None => return Err(PgWireError::PortalNotFound(name.to_owned())),
            Some(Stored::Empty) => {
                client
                    .feed(PgWireBackendMessage::EmptyQueryResponse(
                        EmptyQueryResponse::new(),
                    ))
                    .await?;
            }
            Some(Stored::Value(portal)) => {
                let asked = Arc::clone(&portal.statement.statement);
                match asked.kind {
                    Kind::Query(manner) => {
                        let mut open = match self.memory.take_portal(name) {
                            Some(open) => open,
                            None => self.start(&portal, manner).await?,
                        };
                        let at_most = usize::try_from(message.max_rows).unwrap_or(0);
                        let sent = self.send_rows(client, &mut open, at_most).await?;
                        let end = if at_most > 0 && sent == at_most {
                            self.memory.keep_portal(name, open);
                            PgWireBackendMessage::PortalSuspended(PortalSuspended::new())
                        } else {
                            let tag = Tag::new("SELECT").with_rows(sent);
                            PgWireBackendMessage::CommandComplete(tag.into())
                        };
                        client.feed(end).await?;
                    }
                    ref kind => {
                        for name in self.perform(client, kind, false).await? {
                            client.portal_store().rm_statement(&name);
                        }
                    }
                }
            }
        }
        client.set_state(PgWireConnectionState::ReadyForQuery);
        Ok(())
    }

    async fn on_sync<C>(&self, client: &mut C, _message: PgSync) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let status = client.transaction_status();
        // Outside of a transaction no portal outlives the sync.
        if matches!(status, TransactionStatus::Idle) {
            self.memory.close_portals();
            client.portal_store().clear_portals();
        } else {
            self.memory.close_portal(DEFAULT_NAME);
            client.portal_store().rm_portal(DEFAULT_NAME);
        }
        let ready = PgWireBackendMessage::ReadyForQuery(ReadyForQuery::new(status));
        client.send(ready).await?;
        Ok(())
    }

    async fn on_close<C>(&self, client: &mut C, message: Close) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let name = message.name.as_deref().unwrap_or(DEFAULT_NAME);
        if message.target_type == TARGET_TYPE_BYTE_STATEMENT {
            self.memory.forget(Some(name));
            client.portal_store().rm_statement(name);
        } else {
            self.memory.close_portal(name);
            client.portal_store().rm_portal(name);
        }
        client
            .feed(PgWireBackendMessage::CloseComplete(CloseComplete::new()))
            .await?;
        Ok(())
    }

    async fn do_query<C>(
        &self,
        _client: &mut C,
        _portal: &Portal<Self::Statement>,
        _max_rows: usize,
    ) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        Err(PgWireError::NotReadyForQuery)
    }
}
