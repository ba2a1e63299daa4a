//! What there is: accounts, sites, assets, technicians, and what can go wrong with what.

pub mod naming;

mod error;
pub use error::RegistryError;

pub mod accounts;

pub mod sites;

pub mod assets;

pub mod lives;

pub mod catalog;

pub mod resources;

pub mod seed;
