//! What a client is sent: answers, acknowledgements of what is durable, and messages.

use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;

use super::outbox::{Outbox, Turn};
use super::router::TURN_WORK;
use super::stats::{CloseReason, add};
use super::{Phase, Shared};

/// Writes until the connection is over and every received message is settled.
///
/// A message is routed here, when its receipt is confirmed, even if its sender is gone by then.
pub(super) async fn write_out(
    mut socket: OwnedWriteHalf,
    outbox: Arc<Outbox>,
    shared: Arc<Shared>,
) {
    let mut phase = shared.phase.clone();
    let (mut out, mut routes) = (Vec::new(), Vec::new());
    let mut writable = true;
    loop {
        let Turn { lost, settled } = outbox.take(&mut out, &mut routes);
        let mut work = 0;
        for message in routes.drain(..) {
            work += shared.router.route(&message);
            if work > TURN_WORK {
                work = 0;
                tokio::task::yield_now().await;
            }
        }
        if lost {
            outbox.close(CloseReason::NotDurable);
        }
        if writable && !out.is_empty() {
            match write(&mut socket, &out, &outbox, &shared).await {
                Ok(()) => add(&shared.counters.bytes_out, out.len()),
                Err(reason) => {
                    writable = false;
                    outbox.close(reason);
                }
            }
        }
        let more = !out.is_empty();
        out.clear();
        // Only a shutdown still has something to say: the last acknowledgements.
        if writable && !matches!(outbox.closing(), None | Some(CloseReason::Shutdown)) {
            writable = false;
            let _ = socket.shutdown().await;
        }
        if outbox.closing().is_some() && settled {
            break;
        }
        if more {
            continue;
        }
        tokio::select! {
            biased;
            _ = phase.wait_for(|phase| *phase == Phase::Aborted) => break,
            () = outbox.woken() => {}
        }
    }
    if writable {
        let _ = socket.shutdown().await;
    }
}

/// Writes all of `out`; a client that does not read is waited for, but not forever.
async fn write(
    socket: &mut OwnedWriteHalf,
    out: &[u8],
    outbox: &Outbox,
    shared: &Shared,
) -> Result<(), CloseReason> {
    let mut phase = shared.phase.clone();
    let ended = async {
        match outbox.closed().await {
            CloseReason::Shutdown => {
                let _ = phase.wait_for(|phase| *phase == Phase::Aborted).await;
                CloseReason::Shutdown
            }
            reason => reason,
        }
    };
    let writing = tokio::time::timeout(shared.limits.write_timeout, socket.write_all(out));
    tokio::select! {
        biased;
        written = writing => match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(CloseReason::SocketFailed),
            Err(_) => Err(CloseReason::WriteTimeout),
        },
        reason = ended => Err(reason),
    }
}
