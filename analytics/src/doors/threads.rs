//! The threads of one door.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle, Runtime};

use super::DoorError;

/// Threads that write out answers.
const WORKERS: usize = 2;

/// The threads of one door; they end in the background when it is dropped.
#[derive(Debug)]
pub(super) struct DoorThreads(Option<Runtime>);

impl DoorThreads {
    /// Threads called `name`, what listens on them for `door`, and where it really is.
    ///
    /// **Errors**: the address is taken, or the system gives no threads.
    pub(super) async fn listen(
        name: &'static str,
        door: &'static str,
        address: SocketAddr,
    ) -> Result<(Self, TcpListener, SocketAddr), DoorError> {
        let threads = Self::start(name).map_err(|source| DoorError::Threads { door, source })?;
        let refused = |source| DoorError::Listen {
            door,
            address,
            source,
        };
        let listening = threads.handle().spawn(TcpListener::bind(address));
        let listener = listening.await.expect("binding does not panic");
        let listener = listener.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        Ok((threads, listener, address))
    }

    fn start(name: &'static str) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .thread_name(name)
            .enable_all()
            .build()?;
        Ok(Self(Some(runtime)))
    }

    pub(super) fn handle(&self) -> &Handle {
        let runtime = self.0.as_ref().expect("taken only when dropped");
        runtime.handle()
    }
}

impl Drop for DoorThreads {
    /// An async caller must not wait for threads.
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
