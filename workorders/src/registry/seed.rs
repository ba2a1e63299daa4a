//! The first content of a store, from readable TOML files that are compiled in.

mod files;
mod rows;

use crate::invoicing::{Catalog, DEFAULT_PRICES};
use crate::store::{Ctx, Db, StoreError, counters};

/// The seed files are wrong: a mistake of ours, found by a test.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// A seed file does not have its shape, or names something that is not there.
    #[error("seed file {file} is wrong: {detail}")]
    File {
        /// The file.
        file: &'static str,
        /// What is wrong.
        detail: String,
    },
    /// The store failed.
    #[error("the store could not be seeded")]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for SeedError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Fills a store on its first start: registry, catalog, resources and prices; tells whether it did.
///
/// A later start changes nothing, whatever people changed meanwhile.
///
/// **Errors** when a file is wrong or the store fails; nothing is filled in then.
pub async fn seed(db: &Db, ctx: &Ctx) -> Result<bool, SeedError> {
    let world = &files::World::compiled_in()?;
    let prices = &Catalog::parse(DEFAULT_PRICES).map_err(|error| SeedError::File {
        file: "prices.toml",
        detail: error.to_string(),
    })?;
    let ctx = &ctx.acting_as("seed");
    db.write(|tx| {
        Box::pin(async move {
            if counters::next(tx, "seeded").await? > 1 {
                return Ok(false);
            }
            rows::insert(tx, ctx, world).await?;
            prices.seed(tx, ctx).await?;
            Ok(true)
        })
    })
    .await
}

#[cfg(test)]
mod tests;
