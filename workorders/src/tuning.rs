//! Limits tuned on orders, not on rows: from labeled episodes to a proposal that a person promotes.
//!
//! [`propose`] is pure. [`refresh`] runs it over what the field has labeled, [`promote`] and
//! [`decline`] are a person's word; a promoted limit leaves as the event
//! `limit_proposal.promoted`, without any money.

mod proposal;
pub use proposal::{Episode, Proposal, propose};

mod proposals;
pub use proposals::{
    Kept, ProposalError, ProposalStatus, decline, get, list, promote, promoted, refresh, take_back,
};
