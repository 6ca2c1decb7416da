//! Features: rules that this version knows, and that begin at a height which the provinces decide.
//!
//! A node that meets a feature which it does not know must not execute the block at which it
//! begins: it would come to another state than the others. So nodes are brought to a version that
//! knows a feature before it is activated. [`unknown`] is what a node asks.

use std::sync::Arc;

use symbolon_ledger::{governance::FeaturesRecord, state::StateKey};

use crate::{
    transaction::Run,
    view::{StateFault, StateView, read},
};

/// A province may end suspensions and releases of the licences of its agencies, so that it can
/// reverse what was done with a stolen key.
pub const PROVINCE_REVERSAL: u32 = 1;

/// Every feature that this version knows, ascending.
pub const KNOWN: [u32; 1] = [PROVINCE_REVERSAL];

/// The name of a feature that this version knows.
#[must_use]
pub const fn name(feature: u32) -> Option<&'static str> {
    match feature {
        PROVINCE_REVERSAL => Some("province_reversal"),
        _ => None,
    }
}

/// The first feature that holds at `height` and that this version does not know, with the height
/// at which it began.
///
/// # Errors
///
/// [`StateFault`] when the store cannot tell.
pub fn unknown<V: StateView>(view: &V, height: u64) -> Result<Option<(u32, u64)>, StateFault> {
    let record: Option<FeaturesRecord> = read(view, &StateKey::Features)?;
    let features = record.map(|record| record.features).unwrap_or_default();
    let strange = features.iter().find(|a| a.from <= height && !KNOWN.contains(&a.feature));
    Ok(strange.map(|a| (a.feature, a.from)))
}

/// Whether a feature holds at the height in hand.
pub(crate) fn is_active<V: StateView>(
    run: &mut Run<'_, '_, V>,
    feature: u32,
) -> Result<bool, StateFault> {
    let record: Option<Arc<FeaturesRecord>> = run.overlay.get(&StateKey::Features)?;
    Ok(record.is_some_and(|record| record.is_active(feature, run.height)))
}
