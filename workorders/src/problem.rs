//! What an error means to the one who called: the contract between error enums and the API.

/// The family of a failure, from which a caller decides what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// A rule said no; the caller can change the request or the world.
    Refused,
    /// The caller decided on an older version of the thing.
    Stale,
    /// The same key came with another request.
    KeyReused,
    /// The named thing does not exist.
    NotFound,
    /// The request itself is wrong, whatever the state of the world.
    Invalid,
    /// The store is away; trying again may help.
    Unavailable,
    /// Ours to repair.
    Bug,
}

/// An error that can be shown to a caller as a problem document.
///
/// `Display` of the error is the sentence that people read.
pub trait Problem: std::error::Error {
    /// The family of the failure.
    fn family(&self) -> Family;
    /// A stable snake_case code, such as `not_allowed_now`.
    fn code(&self) -> &'static str;
}
