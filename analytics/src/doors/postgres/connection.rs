//! One connection: message after message, as long as somebody is there and reads.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use datafusion_postgres::pgwire::api::{ClientInfo as _, NoopHandler, PgWireConnectionState};
use datafusion_postgres::pgwire::error::{PgWireError, PgWireResult};
use datafusion_postgres::pgwire::messages::PgWireFrontendMessage;
use datafusion_postgres::pgwire::tokio::server::{negotiate_tls, process_error, process_message};
use fieldwright_ingest::clock::process_sleep;
use futures::Stream;
use tokio::net::TcpStream;

use super::Shared;
use super::conversation::Conversation;
use super::failure::fatal;

/// What is gathered before it is written to the socket. **Units**: bytes.
const WRITTEN_AT_ONCE: usize = 64 * 1024;

/// Answers one client until either side has enough.
pub(super) async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    match converse(stream, shared).await {
        Ok(()) => {}
        Err(error) => tracing::debug!(%error, "a PostgreSQL connection ended early"),
    }
}

async fn converse(stream: TcpStream, shared: Arc<Shared>) -> io::Result<()> {
    let limits = shared.limits;
    let (stream, watched) = twice(stream)?;
    let mut startup = pin!(process_sleep(limits.startup));
    let negotiated = tokio::select! {
        () = &mut startup => return Ok(()),
        negotiated = negotiate_tls(stream, shared.tls.clone()) => negotiated?,
    };
    let Some(mut socket) = negotiated else {
        return Ok(());
    };
    socket.set_backpressure_boundary(WRITTEN_AT_ONCE);
    let conversation = Arc::new(Conversation::new(shared));
    let nobody = Arc::new(NoopHandler);
    loop {
        let message = poll_fn(|context| {
            let polled = Pin::new(&mut socket).poll_next(context);
            match polled {
                Poll::Pending if socket.read_buffer().len() > limits.message_bytes => {
                    Poll::Ready(Some(Err(too_long(limits.message_bytes))))
                }
                polled => polled,
            }
        });
        let message: Option<PgWireResult<PgWireFrontendMessage>> = match conversation.is_coming_in()
        {
            true => tokio::select! {
                () = &mut startup => None,
                message = message => message,
            },
            false => tokio::select! {
                () = process_sleep(limits.idle) => None,
                message = message => message,
            },
        };
        let message = match message {
            None | Some(Ok(PgWireFrontendMessage::Terminate(_))) => return Ok(()),
            Some(Err(error)) => return process_error(&mut socket, error, false).await,
            Some(Ok(message)) => message,
        };
        let extended = message.is_extended_query();
        let answered = tokio::select! {
            answered = process_message(
                message,
                &mut socket,
                Arc::clone(&conversation),
                Arc::clone(&conversation),
                Arc::clone(&conversation),
                Arc::clone(&nobody),
                Arc::clone(&conversation),
            ) => answered,
            () = gone(&watched) => return Ok(()),
            () = conversation.progress.stalled(limits.stalled) => return Ok(()),
        };
        if let Err(error) = answered {
            process_error(&mut socket, error, extended).await?;
        }
        if matches!(socket.state(), PgWireConnectionState::AwaitingSync) {
            conversation.close_portals();
        }
    }
}

fn too_long(limit: usize) -> PgWireError {
    fatal("54000", format!("a message has at most {limit} bytes"))
}

/// The same connection twice: one to talk, one to see whether the other side is still there.
fn twice(stream: TcpStream) -> io::Result<(TcpStream, TcpStream)> {
    let first = stream.into_std()?;
    let second = first.try_clone()?;
    Ok((TcpStream::from_std(first)?, TcpStream::from_std(second)?))
}

/// Returns once the other side has closed the connection while it waits for an answer.
async fn gone(stream: &TcpStream) {
    let mut byte = [0_u8; 1];
    match stream.peek(&mut byte).await {
        Ok(0) | Err(_) => {}
        // It has more to say, so it is there; what follows cannot be seen behind that.
        Ok(_) => std::future::pending().await,
    }
}
