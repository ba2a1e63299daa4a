//! How long an asset lasts.
