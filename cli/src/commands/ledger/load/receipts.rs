//! Whether the receipts of a load hold: a sample of them, checked after the load as any verifier
//! would, so that checking takes nothing from what is measured.

use symbolon_verify::{
    receipt::{self, ReceiptError},
    trust::Trust,
};

use super::tally::Kept;
use crate::{
    args::Context,
    commands::ledger::trusted::{self, Believed, is_unreached},
    output::Failure,
};

/// What a check of receipts came to.
#[derive(Debug, Default)]
pub(super) struct Checked {
    /// So many hold.
    pub(super) held: usize,
    /// So many could not be checked: nothing was to be believed, or the validators are newer ones.
    pub(super) not_checked: usize,
    /// What is wrong with the first that does not hold.
    pub(super) wrong: Option<String>,
}

/// What receipts are held against: what the command line says, or a development network's founding
/// document; without either, nothing.
///
/// # Errors
///
/// When it cannot be read.
pub(super) fn trust(believed: &Believed, context: &Context) -> Result<Option<Trust>, Failure> {
    if believed.is_given() {
        return believed.trust().map(Some);
    }
    let founding = context.global.devnet.as_ref().map(|folder| folder.join("genesis.toml"));
    match founding {
        Some(path) if path.exists() => trusted::from_genesis(&path).map(Some),
        _ => Ok(None),
    }
}

/// Checks receipts, each of its own transaction.
pub(super) fn check(kept: &[Kept], trust: Option<&Trust>) -> Checked {
    let Some(trust) = trust else {
        return Checked { not_checked: kept.len(), ..Checked::default() };
    };
    let mut checked = Checked::default();
    for one in kept {
        match receipt::check(&one.receipt, trust) {
            Ok(good)
                if good.transaction() == one.id && good.signature_hash() == one.signature_hash =>
            {
                checked.held += 1;
            }
            Err(ReceiptError::Header(error)) if is_unreached(&error) => checked.not_checked += 1,
            wrong => {
                let why = match wrong {
                    Ok(_) => "it is of another transaction".to_owned(),
                    Err(error) => error.to_string(),
                };
                let wrong = format!("the receipt of {} proves nothing: {why}", one.id);
                checked.wrong = checked.wrong.or(Some(wrong));
            }
        }
    }
    checked
}
