//! Talk: what a simulator tells the person at the terminal, never data.

use std::sync::Arc;

/// Where lines for people go. The default is standard error.
#[derive(Clone)]
pub struct Talk(Arc<dyn Fn(&str) + Send + Sync>);

impl Talk {
    /// Talk to a function.
    pub fn to(sink: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(sink))
    }

    /// Talk to standard error.
    pub fn stderr() -> Self {
        Self::to(|line| eprintln!("{line}"))
    }

    /// Talk to nobody.
    pub fn silent() -> Self {
        Self::to(|_| ())
    }

    /// Says one line.
    pub fn say(&self, line: impl AsRef<str>) {
        (self.0)(line.as_ref());
    }
}

impl Default for Talk {
    fn default() -> Self {
        Self::stderr()
    }
}

impl std::fmt::Debug for Talk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Talk")
    }
}
