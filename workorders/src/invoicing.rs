//! Invoicing: from the work that was done to a numbered, taxed and booked invoice.

mod work;
pub use work::{PostedOrder, WorkLine, WorkLineKind};

mod price_list;
pub use price_list::{ANY_SKILL, LaborPrice, PartPrice, PriceList, TravelPrice, list_in_force};

mod tax;
pub use tax::{STANDARD, TaxError, TaxRate, TaxTotal, rate_in_force, tax_per_rate};

mod build_up;
pub use build_up::{PricedDocument, PricedLine, PricingError, ROUNDING, Step, price_work};

mod catalog;
pub use catalog::{Catalog, CatalogError, DEFAULT_PRICES, LegalEntity};

mod lifecycle;
pub use lifecycle::{
    DocumentStatus, DocumentVerb, MOVES, Refusal, Settlement, allowed_actions, decide,
};

mod numbers;

mod documents;

mod error;
pub use error::InvoicingError;

mod posting;
pub use posting::{create_draft, discard_draft, invoice_posted_order, post_draft};

mod queries;
pub use queries::{
    InvoiceFilter, InvoiceLineView, InvoiceTaxView, InvoiceView, invoice, invoice_in,
    invoice_of_order, invoices,
};

#[cfg(test)]
pub(crate) mod billed_world;

#[cfg(test)]
pub(crate) mod tests;
