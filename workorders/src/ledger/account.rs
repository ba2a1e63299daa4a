//! The chart of accounts.

words! {
    /// On which side of the books an account stands.
    AccountKind {
        /// What we own.
        Asset => "asset",
        /// What we owe.
        Liability => "liability",
        /// What we earned.
        Income => "income",
    }
}

words! {
    /// An account of the ledger, in the order of the trial balance.
    LedgerAccount {
        /// What customers owe: the control account of all open invoices.
        Receivables => "receivables",
        /// Money in the bank.
        Bank => "bank",
        /// Money of customers that is not yet applied to an invoice.
        CustomerAdvances => "customer_advances",
        /// Tax collected for the state.
        TaxPayable => "tax_payable",
        /// Revenue from labor.
        RevenueLabor => "revenue_labor",
        /// Revenue from call-out and travel.
        RevenueTravel => "revenue_travel",
        /// Revenue from parts.
        RevenueParts => "revenue_parts",
    }
}

impl LedgerAccount {
    /// On which side of the books it stands.
    pub fn kind(self) -> AccountKind {
        match self {
            LedgerAccount::Receivables | LedgerAccount::Bank => AccountKind::Asset,
            LedgerAccount::CustomerAdvances | LedgerAccount::TaxPayable => AccountKind::Liability,
            LedgerAccount::RevenueLabor
            | LedgerAccount::RevenueTravel
            | LedgerAccount::RevenueParts => AccountKind::Income,
        }
    }
}
