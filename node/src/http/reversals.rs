//! What a key did that its province may want to reverse: suspensions and releases since the height
//! from which on it was in other hands.
//!
//! What such a key issued is invalid by itself. What it suspended or released stays so until
//! somebody who may ends it, and to find it one must read the blocks: nothing in the state says
//! which key suspended a licence. So it is a search in pages, each over a bounded part of the chain.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use symbolon_ledger::{
    block::Block,
    codes::Uscc,
    hash::Cid,
    operation::{Actor, Operation},
    records::{KeyRecord, LicenceRecord, LicenceStatus},
    state::StateKey,
};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Server,
    agencies::find_agency,
    error::{Problem, ProblemDocument},
    extract::{Asked, Named},
    registries::{List, page_size},
};
use crate::storage::{StorageError, View};

/// Most bytes of blocks that are read for one page: some sixteen full ones, or a day of idle ones.
const MAX_BYTES_LOOKED_AT: usize = 64 * 1024 * 1024;
/// Most blocks that are read for one page.
const MAX_BLOCKS_LOOKED_AT: u64 = 10_000;

/// The routes of this module.
pub(super) fn routes() -> OpenApiRouter<Arc<Server>> {
    OpenApiRouter::default().routes(routes!(list_reversals))
}

/// Something that a key did to a licence.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Reversal {
    /// Height at which it was done.
    height: u64,
    /// The transaction.
    transaction: String,
    /// Place of the operation in it.
    operation_index: usize,
    /// `suspend` or `transfer_out`.
    operation: &'static str,
    /// The licence.
    cid: String,
    /// How the licence stands now.
    status: &'static str,
    /// Whether the licence stands as this left it, so that ending it reverses this and nothing else.
    reversible: bool,
}

/// A page of what a key did.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Reversals {
    /// First height that is looked at.
    from_height: u64,
    #[serde(flatten)]
    list: List<Reversal>,
}

/// Which key, since when, and which part.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ReversalPage {
    /// Number of the agency's key.
    key_id: u32,
    /// First height; when absent that from which on the key counts as being in other hands, or else
    /// that of its registration.
    from_height: Option<u64>,
    /// Begin after this place: `next` of the page before.
    after: Option<String>,
    /// Most items, 1 to 1,000; 200 when absent.
    limit: Option<usize>,
}

/// A place on the chain: height, transaction in the block, operation in the transaction.
type Place = (u64, usize, usize);

fn read_place(text: &str) -> Option<Place> {
    let mut parts = text.split('.');
    let place =
        (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    parts.next().is_none().then_some(place)
}

/// Suspensions and releases that a key of the agency signed, for its province to reverse.
///
/// The blocks are looked through in their order, a bounded part at once: a page may have few items
/// or none, and goes on after `next` all the same.
#[utoipa::path(get, path = "/v1/agencies/{uscc}/reversals", tag = "registries",
    params(("uscc" = String, Path, description = "Unified social credit code"), ReversalPage),
    responses((status = 200, body = Reversals), (status = 400, body = ProblemDocument),
        (status = 404, body = ProblemDocument), (status = 410, body = ProblemDocument)))]
pub(super) async fn list_reversals(
    State(server): State<Arc<Server>>,
    Named(uscc): Named<Uscc>,
    Asked(asked): Asked<ReversalPage>,
) -> Result<Json<Reversals>, Problem> {
    let size = page_size(asked.limit)?;
    let after = match asked.after.as_deref().map(read_place) {
        Some(None) => {
            let hint = "give what the page before names as next";
            return Err(Problem::bad("bad_query", "after is no place on the chain", hint));
        }
        given => given.flatten(),
    };
    let answer = move |view: &View<'_>| {
        find_agency(view, &uscc, false)?;
        let place = StateKey::Key(Actor::Agency(uscc), asked.key_id);
        let Some(key) = view.record::<KeyRecord>(&place)? else {
            let detail = format!("agency {uscc} has no key {}", asked.key_id);
            let hint = "GET /v1/agencies/{uscc} lists its keys";
            return Err(Problem::missing("unknown_key", detail, hint));
        };
        let since = key.compromised_from.unwrap_or(key.valid_from);
        let from_height = asked.from_height.unwrap_or(since).max(1);
        let search = Search { uscc, key_id: asked.key_id, from_height, after, size };
        Ok(Reversals { from_height, list: search.run(view)? })
    };
    server.read(answer).await.map(Json)
}

/// What is looked for, and where.
struct Search {
    uscc: Uscc,
    key_id: u32,
    from_height: u64,
    after: Option<Place>,
    size: usize,
}

impl Search {
    fn run(&self, view: &View<'_>) -> Result<List<Reversal>, Problem> {
        let tip = view.tip().height;
        let first = self.after.map_or(self.from_height, |(height, ..)| height);
        let (mut items, mut next, mut bytes) = (Vec::new(), None, 0);
        let last = tip.min(first.saturating_add(MAX_BLOCKS_LOOKED_AT - 1));
        for height in first..=last {
            let Some(found) = view.block_bytes(height)? else { return Err(pruned(height, tip)) };
            bytes += found.len();
            let block = Block::decode(&found)
                .map_err(|e| StorageError::damaged(format!("block {height}: {e}")))?;
            for (place, operation) in self.said_in(&block) {
                if items.len() == self.size {
                    return Ok(List { height: tip, items, next, proof: None });
                }
                items.extend(show(view, &block, place, operation)?);
                next = Some(text_of(place));
            }
            // Everything of this block was looked at.
            next = Some(text_of((height, usize::MAX, usize::MAX)));
            if bytes > MAX_BYTES_LOOKED_AT {
                break;
            }
        }
        let looked_at = next.as_deref().and_then(read_place).map_or(tip, |(height, ..)| height);
        let next = next.filter(|_| looked_at < tip);
        Ok(List { height: tip, items, next, proof: None })
    }

    /// What the key said in a block, after the place at which the page begins.
    fn said_in<'b>(&self, block: &'b Block) -> Vec<(Place, &'b Operation)> {
        let (height, actor) = (block.header.height, Actor::Agency(self.uscc));
        let ours = block.transactions.iter().enumerate().filter(|(_, transaction)| {
            let payload = transaction.payload();
            payload.actor == actor && payload.key_id == self.key_id
        });
        let said = ours.flat_map(|(index, transaction)| {
            let operations = transaction.payload().operations.iter().enumerate();
            operations.map(move |(at, operation)| ((height, index, at), operation))
        });
        said.filter(|(place, _)| self.after.is_none_or(|after| *place > after)).collect()
    }
}

fn text_of((height, index, at): Place) -> String {
    format!("{height}.{index}.{at}")
}

fn show(
    view: &View<'_>,
    block: &Block,
    (height, index, operation_index): Place,
    operation: &Operation,
) -> Result<Option<Reversal>, StorageError> {
    let cid: Cid = match operation {
        Operation::Suspend { cid } | Operation::TransferOut { cid, .. } => *cid,
        _ => return Ok(None),
    };
    let licence: LicenceRecord = view
        .record(&StateKey::Licence(cid))?
        .ok_or_else(|| StorageError::damaged(format!("licence {cid} is missing")))?;
    let stands = match operation {
        Operation::Suspend { .. } => licence.status == LicenceStatus::Suspended,
        _ => matches!(licence.status, LicenceStatus::TransferPending { .. }),
    };
    Ok(Some(Reversal {
        height,
        transaction: block.transactions[index].id().to_string(),
        operation_index,
        operation: operation.name(),
        cid: cid.to_string(),
        status: licence.status.name(),
        reversible: stands && licence.changed_at == height,
    }))
}

fn pruned(height: u64, tip: u64) -> Problem {
    let detail = format!("block {height} is not kept any more");
    let hint = "ask a node that keeps everything, or give a later from_height";
    Problem::new(StatusCode::GONE, "pruned", detail, hint).at(tip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_back_and_nothing_else_is_one() {
        for place in [(0, 0, 0), (7, 4_095, 255), (u64::MAX, usize::MAX, usize::MAX)] {
            assert_eq!(read_place(&text_of(place)), Some(place));
        }
        for text in ["", "7", "7.1", "7.1.2.3", "7.x.1", "-1.0.0"] {
            assert_eq!(read_place(text), None, "{text}");
        }
    }
}
