//! What invoicing goes by: who bills, the price lists, the tax rates.

mod file;
pub use file::{CatalogError, DEFAULT_PRICES};

mod rows;

use chrono_tz::Tz;

use super::price_list::PriceList;
use super::tax::TaxRate;
use crate::store::{Ctx, StoreError, Tx};

/// The entity that bills, every price list and every tax rate.
#[derive(Debug, Clone, PartialEq)]
pub struct Catalog {
    /// Who sends the invoices; the first one bills.
    pub legal_entities: Vec<LegalEntity>,
    /// Every price list.
    pub price_lists: Vec<PriceList>,
    /// Every tax rate.
    pub tax_rates: Vec<TaxRate>,
}

/// A company that sends invoices.
#[derive(Debug, Clone, PartialEq)]
pub struct LegalEntity {
    /// What its invoice numbers begin with.
    pub code: String,
    /// Its name.
    pub name: String,
    /// ISO 3166 country.
    pub country: String,
    /// The zone whose day stands on its documents.
    pub time_zone: Tz,
    /// Days until an invoice is due, where the account has no terms of its own.
    pub terms_days: u16,
}

impl Catalog {
    /// Reads a price file, for example [`DEFAULT_PRICES`].
    ///
    /// **Errors**: every mistake of the file at once.
    pub fn parse(text: &str) -> Result<Catalog, CatalogError> {
        file::parse(text)
    }

    /// Writes what the store does not have yet; a row that it has stays as it is.
    ///
    /// **Errors** when the store fails.
    pub async fn seed(&self, tx: &mut Tx<'_>, ctx: &Ctx) -> Result<(), StoreError> {
        rows::seed(self, tx, ctx).await
    }

    /// Reads the catalog from the store.
    ///
    /// **Errors** when the store fails or holds a row that this program never writes.
    pub async fn load(tx: &mut Tx<'_>) -> Result<Catalog, StoreError> {
        rows::load(tx).await
    }
}
