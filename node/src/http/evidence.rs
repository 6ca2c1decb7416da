//! Validators that signed against themselves, with the proof: the two messages.
//!
//! This is what this node has found or was shown, and no part of the chain. Anybody can check it
//! from the answer alone; to take a vote away is a decision of the provinces.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Serialize;
use symbolon_consensus::evidence::Equivocation;
use symbolon_ledger::vote::{SignedStatement, Statement};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Server,
    error::Problem,
    extract::to_base64url,
    words::{hex, public_key},
};
use crate::storage::{StorageError, View};

/// The routes of this module.
pub(super) fn routes() -> OpenApiRouter<Arc<Server>> {
    OpenApiRouter::default().routes(routes!(list_evidence))
}

/// All evidence that this node keeps: of each province for a few heights at most.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct EvidenceList {
    /// Height of the snapshot.
    height: u64,
    /// The evidence, in the order of provinces and heights.
    items: Vec<EvidenceBody>,
}

/// Two messages that one validator has signed and that exclude each other.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct EvidenceBody {
    /// Code of the province whose validator it is.
    province: String,
    /// The guilty key, 32 bytes, base64url.
    key: String,
    /// Height that both messages are about.
    height: u64,
    /// Round that both are about.
    round: u32,
    /// What was signed twice: `proposal`, `prevote` or `precommit`.
    step: &'static str,
    /// The message whose bytes come first.
    first: StatementBody,
    /// The other one.
    second: StatementBody,
    /// The whole as it travels between nodes, base64url of its CBOR.
    evidence: String,
}

/// One of the two.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct StatementBody {
    /// Hash of the block that it is for; null for a vote against all.
    block: Option<String>,
    /// In a proposal that was made before: the round of its quorum.
    pol_round: Option<u32>,
    /// The bytes that were signed, base64url.
    statement: String,
    /// The signature, 64 bytes, base64url.
    signature: String,
}

/// The evidence of validators that signed against themselves, as this node knows it.
#[utoipa::path(get, path = "/v1/evidence", tag = "chain",
    responses((status = 200, body = EvidenceList)))]
pub(super) async fn list_evidence(
    State(server): State<Arc<Server>>,
) -> Result<Json<EvidenceList>, Problem> {
    server.read(|view| Ok(list(view)?)).await.map(Json)
}

fn list(view: &View<'_>) -> Result<EvidenceList, StorageError> {
    let kept = view.evidence()?;
    let items = kept.iter().map(|evidence| show(view, evidence)).collect::<Result<_, _>>()?;
    Ok(EvidenceList { height: view.tip().height, items })
}

fn show(view: &View<'_>, evidence: &Equivocation) -> Result<EvidenceBody, StorageError> {
    let (chain, province) = (view.chain_id(), evidence.province);
    let damaged = |why: &dyn std::fmt::Display| {
        StorageError::damaged(format!("evidence against {province}: {why}"))
    };
    let (first, second) = evidence.statements(&chain).map_err(|error| damaged(&error))?;
    let set = view.validators_at(first.height)?;
    let key = set.as_ref().and_then(|set| set.get(province)).map(|validator| validator.key);
    let key = key.ok_or_else(|| damaged(&"it had no vote then"))?;
    Ok(EvidenceBody {
        province: province.to_string(),
        key: public_key(&key),
        height: first.height,
        round: first.round,
        step: first.step.name(),
        first: statement(&first, &evidence.first),
        second: statement(&second, &evidence.second),
        evidence: to_base64url(&evidence.encode()),
    })
}

fn statement(said: &Statement, signed: &SignedStatement) -> StatementBody {
    StatementBody {
        block: said.block.as_ref().map(hex),
        pol_round: said.pol_round,
        statement: to_base64url(&signed.statement),
        signature: to_base64url(&signed.signature.0),
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
    use symbolon_genesis::presets::devnet_from_seed;
    use symbolon_ledger::{
        hash::sha256,
        keys::{PublicKey, Signature},
        vote::{Statement, Step},
    };
    use tempfile::TempDir;

    use super::*;
    use crate::storage::Store;

    #[test]
    fn an_outsider_can_check_the_answer_from_itself_alone() {
        let folder = TempDir::new().unwrap();
        let (genesis, keys) = devnet_from_seed(4, &[5; 32], 1_800_000_000_000, 1);
        let store = Store::open(folder.path(), &genesis).unwrap();
        let guilty = &keys[2];
        let signed = |block| {
            let (step, chain) = (Step::Prevote, genesis.chain_id());
            let said = Statement { step, chain, height: 1, round: 0, block, pol_round: None };
            SignedStatement::new(&said, guilty.validator.sign(&said.bytes()))
        };
        let mut pair = [signed(Some(sha256(b"x"))), signed(None)];
        pair.sort_by(|a, b| a.statement.cmp(&b.statement));
        let [first, second] = pair;
        let evidence = Equivocation { province: guilty.province, first, second };
        assert!(store.keep_evidence(1, &evidence).unwrap());
        let answer = list(&store.view().unwrap()).unwrap();
        assert_eq!(answer.items.len(), 1);
        let item = &answer.items[0];
        let shown = (item.province.as_str(), item.height, item.round, item.step);
        assert_eq!(shown, (guilty.province.as_str(), 1, 0, "prevote"));
        let bytes = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).unwrap();
        let key = PublicKey::from_bytes(&bytes(&item.key)).unwrap();
        assert_eq!(key, guilty.validator.public_key());
        for said in [&item.first, &item.second] {
            let signature = Signature(bytes(&said.signature).try_into().unwrap());
            key.verify(&bytes(&said.statement), &signature).unwrap();
            let read = Statement::read(&bytes(&said.statement)).unwrap();
            assert_eq!(read.block.map(|block| block.to_string()), said.block);
        }
        assert_eq!(Equivocation::decode(&bytes(&item.evidence)), Ok(evidence));
    }
}
