//! The threads of one door.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

/// Threads that write out answers.
const WORKERS: usize = 2;

/// The threads of one door; they end in the background when it is dropped.
#[derive(Debug)]
pub(super) struct DoorThreads(Option<Runtime>);

impl DoorThreads {
    /// **Errors**: the system gives no threads.
    pub(super) fn start(name: &'static str) -> io::Result<Self> {
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
