//! How a client comes in: with the token as password, proved by SCRAM, or freely without a token.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion_postgres::pgwire::api::auth::sasl::SASLAuthStartupHandler;
use datafusion_postgres::pgwire::api::auth::sasl::scram::{
    SCRAM_ITERATIONS, ScramAuth, gen_salted_password, random_nonce,
};
use datafusion_postgres::pgwire::api::auth::{
    AuthSource, DefaultServerParameterProvider, LoginInfo, Password, StartupHandler,
    finish_authentication, protocol_negotiation, save_startup_parameters_to_metadata,
};
use datafusion_postgres::pgwire::api::{
    ClientInfo, PidSecretKeyGenerator, RandomPidSecretKeyGenerator,
};
use datafusion_postgres::pgwire::error::{PgWireError, PgWireResult};
use datafusion_postgres::pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};
use futures::Sink;

use crate::doors::Token;

/// How every client of a door comes in.
#[derive(Debug, Clone)]
pub(super) struct Login(Option<Arc<Secret>>);

/// The token as SCRAM wants it, computed once.
struct Secret {
    salt: Vec<u8>,
    salted: Vec<u8>,
}

impl Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(***)")
    }
}

#[async_trait]
#[expect(
    elided_lifetimes_in_paths,
    reason = "the trait elides it, and async_trait compares"
)]
impl AuthSource for Secret {
    /// The same for every name: the door knows one secret.
    async fn get_password(&self, _login: &LoginInfo) -> PgWireResult<Password> {
        Ok(Password::new(Some(self.salt.clone()), self.salted.clone()))
    }
}

impl Login {
    pub(super) fn new(token: &Token) -> Self {
        Self(token.needed().map(|token| {
            let salt = random_nonce().into_bytes();
            let salted = gen_salted_password(token, &salt, SCRAM_ITERATIONS);
            Arc::new(Secret { salt, salted })
        }))
    }

    /// The steps of one client.
    pub(super) fn begin(&self, keys: &Arc<RandomPidSecretKeyGenerator>) -> Entry {
        let keys = Arc::clone(keys);
        match &self.0 {
            None => Entry::Open(keys),
            Some(secret) => {
                let secret: Arc<dyn AuthSource> = Arc::clone(secret) as _;
                let steps = SASLAuthStartupHandler::new(Arc::new(told()))
                    .with_scram(ScramAuth::new(secret))
                    .with_pid_secret_key_generator(keys);
                Entry::Scram(Box::new(steps))
            }
        }
    }
}

/// One client on its way in.
pub(super) enum Entry {
    Open(Arc<RandomPidSecretKeyGenerator>),
    Scram(Box<SASLAuthStartupHandler<DefaultServerParameterProvider>>),
}

#[async_trait]
impl StartupHandler for Entry {
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
        match (self, message) {
            (Self::Scram(steps), message) => steps.on_startup(client, message).await,
            (Self::Open(keys), PgWireFrontendMessage::Startup(startup)) => {
                protocol_negotiation(client, &startup).await?;
                save_startup_parameters_to_metadata(client, &startup);
                let (number, key) = keys.generate(client);
                client.set_pid_and_secret_key(number, key);
                finish_authentication(client, &told()).await
            }
            (Self::Open(_), _) => Ok(()),
        }
    }
}

/// What a client is told about the service when it comes in.
fn told() -> DefaultServerParameterProvider {
    let mut told = DefaultServerParameterProvider::default();
    told.server_version = "16.6 (Fieldwright)".to_owned();
    told.is_superuser = false;
    told.default_transaction_read_only = true;
    told.time_zone = "UTC".to_owned();
    told.date_style = "ISO, MDY".to_owned();
    told
}
