//! Who signs, what is signed, and how a signed transaction becomes final.
//!
//! The key decides who speaks: the node's registry says whose it is and under which number. A
//! transaction is signed once; when its fate is unclear the same bytes are sent again, which is
//! harmless, because its id is remembered for longer than it is valid.

use std::{
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use symbolon_ledger::{
    codes::{ProvinceCode, Uscc},
    hash::{ChainId, TransactionId},
    keys::SecretKey,
    operation::{Actor, Operation},
    transaction::{PAYLOAD_VERSION, Payload, SignedTransaction},
};

use crate::{
    args::Context,
    client::{Node, NodeError, Problem, Submitted, from_base64url, text},
    entropy, keyfile,
    output::Failure,
};

/// How many heights a transaction stays valid: at one block a second twenty minutes, at the idle
/// pace of ten seconds three hours. Short enough that a lost one is soon known to be lost.
const VALID_HEIGHTS: u64 = 1_200;
/// How long one request waits for the block.
const WAIT: Duration = Duration::from_secs(10);
/// How long a command tries to have its transaction committed before it gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Pause before a node that did not answer, or was full, is asked again.
const PAUSE: Duration = Duration::from_millis(500);
/// How often in a row a node may fail to answer before it counts as unreachable.
const MAX_SILENCES: u32 = 6;

/// The failure of a key that the ledger does not know.
const UNKNOWN_KEY: &str = "unknown_key";

/// A key, and who it speaks for.
#[derive(Debug)]
pub(crate) struct Signer {
    /// Whose key it is.
    pub(crate) actor: Actor,
    /// Its number on the ledger.
    pub(crate) key_id: u32,
    /// The chain.
    pub(crate) chain_id: ChainId,
    /// Where the key lies; what belongs to it lies beside it.
    pub(crate) key_file: PathBuf,
    key: SecretKey,
}

/// A transaction that is in a block.
#[derive(Debug, Clone)]
pub(crate) struct Committed {
    /// Its id.
    pub(crate) id: TransactionId,
    /// The block's height.
    pub(crate) height: u64,
    /// Its receipt.
    pub(crate) receipt: Vec<u8>,
}

/// How a transaction was refused.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    /// The answer.
    pub(crate) problem: Box<Problem>,
    /// Whether some node may still have it and try it again: it was accepted once, or the node
    /// fell silent over it.
    pub(crate) may_linger: bool,
}

/// Why a transaction is not in a block.
#[derive(Debug, Clone)]
pub(crate) enum NotCommitted {
    /// It was refused.
    Refused(Refusal),
    /// It was not committed in time and never will be.
    Expired,
    /// It may still be: the node did not answer, or the network makes no blocks.
    Unsettled(Failure),
}

impl From<NotCommitted> for Failure {
    fn from(why: NotCommitted) -> Self {
        match why {
            NotCommitted::Refused(refusal) => (*refusal.problem).into(),
            NotCommitted::Expired => Self::refused(
                "expired",
                "the transaction was not committed before the height until which it was valid",
                "nothing of it happened: run the command again",
            ),
            NotCommitted::Unsettled(failure) => failure,
        }
    }
}

/// The chain and the height that a node stands at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tip {
    /// The chain.
    pub(crate) chain_id: ChainId,
    /// Height of its newest block.
    pub(crate) height: u64,
}

/// Asks a node where it stands.
///
/// # Errors
///
/// When it does not answer.
pub(crate) fn tip(node: &Node) -> Result<Tip, Failure> {
    let status = node.get("/v1/status")?;
    let chain_id: Option<ChainId> = text(&status, "chain_id").parse().ok();
    let height = status.get("height").and_then(Value::as_u64);
    let (Some(chain_id), Some(height)) = (chain_id, height) else {
        return Err(Failure::unreachable(
            "strange_answer",
            format!("{} does not say its chain and height", node.url()),
            "check that --node names a symbolon node",
        ));
    };
    Ok(Tip { chain_id, height })
}

/// The chain that the node is of, which is `--devnet`'s if that is given.
fn chain(context: &Context, node: &Node) -> Result<ChainId, Failure> {
    let found = tip(node)?.chain_id;
    match context.network()? {
        Some(network) if network.chain_id != found.to_string() => {
            Err(wrong_chain(node, found, &network.chain_id))
        }
        _ => Ok(found),
    }
}

fn wrong_chain(node: &Node, found: ChainId, wanted: &str) -> Failure {
    Failure::refused(
        "wrong_chain",
        format!("{} is of chain {found}, not of {wanted}", node.url()),
        "name a node of the same network as the key; after `devnet reset`, start again",
    )
}

impl Signer {
    /// The agency whose key the command line names.
    ///
    /// # Errors
    ///
    /// When no key is named, or the ledger knows no agency with it.
    pub(crate) fn agency(context: &Context, node: &Node) -> Result<Self, Failure> {
        let key_file = context.agency_key_file()?;
        let key = keyfile::read(&key_file)?;
        let chain_id = chain(context, node)?;
        for uscc in agencies_to_ask(context, node)? {
            let answer = node.get(&format!("/v1/agencies/{uscc}"))?;
            if let Some(key_id) = find_key(&answer, &key, "transaction") {
                let actor = Actor::Agency(uscc);
                return Ok(Self { actor, key_id, chain_id, key_file, key });
            }
        }
        Err(unknown_key(context, node, &key, "agency"))
    }

    /// The province whose authority key the command line names; with `--key`, an agency's own
    /// key is also found, for what agencies may do themselves.
    ///
    /// # Errors
    ///
    /// When no key is named, or the ledger knows nobody with it, or several provinces with it and
    /// `--as` names none of them.
    pub(crate) fn authority(context: &Context, node: &Node) -> Result<Self, Failure> {
        let key_file = context.authority_key_file()?;
        let key = keyfile::read(&key_file)?;
        let chain_id = chain(context, node)?;
        if let Some((code, key_id)) = province_with(context, node, &key)? {
            let actor = Actor::Province(code);
            return Ok(Self { actor, key_id, chain_id, key_file, key });
        }
        if context.global.key.is_some() {
            return Self::agency(context, node);
        }
        Err(unknown_key(context, node, &key, "province"))
    }

    /// The province whose authority key the command line names, for what only a province may do.
    ///
    /// # Errors
    ///
    /// As [`Self::authority`], or when the key is an agency's.
    pub(crate) fn of_province(context: &Context, node: &Node) -> Result<Self, Failure> {
        match Self::authority(context, node) {
            Ok(signer) => signer.province().map(|_| signer),
            // Nobody has it: what is wanted here is a province's.
            Err(failure) if failure.code == UNKNOWN_KEY => {
                let key = keyfile::read(&context.authority_key_file()?)?;
                Err(unknown_key(context, node, &key, "province"))
            }
            Err(failure) => Err(failure),
        }
    }

    /// A file of the actor's own, in the folder of its key: it stays when the key is rotated.
    pub(crate) fn beside(&self, suffix: &str) -> PathBuf {
        let name = match self.actor {
            Actor::Agency(uscc) => uscc.to_string(),
            Actor::Province(code) => format!("province-{code}"),
        };
        self.key_file.with_file_name(format!("{name}{suffix}"))
    }

    /// The agency that signs.
    ///
    /// # Errors
    ///
    /// When it is a province.
    pub(crate) fn uscc(&self) -> Result<Uscc, Failure> {
        match self.actor {
            Actor::Agency(uscc) => Ok(uscc),
            Actor::Province(code) => Err(Failure::usage(
                "not_an_agency",
                format!("the key is that of province {code}, and only an agency may do this"),
                "name an agency's key with --key, or its province with --devnet and --as",
            )),
        }
    }

    /// The province that signs.
    ///
    /// # Errors
    ///
    /// When it is an agency.
    pub(crate) fn province(&self) -> Result<ProvinceCode, Failure> {
        match self.actor {
            Actor::Province(code) => Ok(code),
            Actor::Agency(uscc) => Err(Failure::usage(
                "not_a_province",
                format!("the key is that of agency {uscc}, and only its province may do this"),
                "name the province's authority key with --key, or the province with --devnet and --as",
            )),
        }
    }

    /// Signs a transaction that is valid from the height on at which `node` stands.
    ///
    /// # Errors
    ///
    /// When the node does not answer or is of another chain, or the transaction is too large.
    pub(crate) fn sign(
        &self,
        node: &Node,
        operations: Vec<Operation>,
    ) -> Result<SignedTransaction, Failure> {
        let Tip { chain_id, height } = tip(node)?;
        if chain_id != self.chain_id {
            return Err(wrong_chain(node, chain_id, &self.chain_id.to_string()));
        }
        self.sign_until(height.saturating_add(VALID_HEIGHTS), operations)
    }

    /// Signs a transaction that is valid up to a height, without asking a node.
    ///
    /// # Errors
    ///
    /// When it is too large, or the system gives no random bytes.
    pub(crate) fn sign_until(
        &self,
        valid_until_height: u64,
        operations: Vec<Operation>,
    ) -> Result<SignedTransaction, Failure> {
        let payload = Payload {
            version: PAYLOAD_VERSION,
            chain_id: self.chain_id,
            actor: self.actor,
            key_id: self.key_id,
            nonce: entropy::bytes()?,
            valid_until_height,
            operations,
        };
        SignedTransaction::sign(&payload, &self.key).map_err(|e| {
            Failure::refused("unsignable", e.to_string(), "put fewer operations into it")
        })
    }
}

/// The province that has `key`, and the key's number. `--as` decides between several.
fn province_with(
    context: &Context,
    node: &Node,
    key: &SecretKey,
) -> Result<Option<(ProvinceCode, u32)>, Failure> {
    let mut found = Vec::new();
    for province in node.list("/v1/provinces")? {
        let code: Result<ProvinceCode, _> = text(&province, "code").parse();
        if let (Ok(code), Some(key_id)) = (code, find_key(&province, key, "transaction")) {
            found.push((code, key_id));
        }
    }
    let acting_as = context.global.acting_as.as_deref();
    choose(&found, acting_as.and_then(|named| named.parse().ok()))
}

/// Which of the provinces that have a key signs with it, where `--as` names `wanted`.
fn choose(
    found: &[(ProvinceCode, u32)],
    wanted: Option<ProvinceCode>,
) -> Result<Option<(ProvinceCode, u32)>, Failure> {
    let codes: Vec<String> = found.iter().map(|(code, _)| code.to_string()).collect();
    let codes = codes.join(" and ");
    match (found, wanted) {
        ([], _) => Ok(None),
        ([one], None) => Ok(Some(*one)),
        (_, None) => Err(Failure::usage(
            "key_of_several",
            format!("the key is registered for the provinces {codes}"),
            "say by --as for which of them to sign; then give each a key of its own: \
             symbolon gov propose province-key",
        )),
        (_, Some(wanted)) => {
            let named = found.iter().find(|(code, _)| *code == wanted).copied();
            let other = || {
                let message =
                    format!("the key is that of province {codes}, and --as says {wanted}");
                let hint = format!("name the key of province {wanted} by --key, or leave --as out");
                Failure::usage("other_province", message, hint)
            };
            named.map(Some).ok_or_else(other)
        }
    }
}

/// The agencies that the key may be of: the one of `--devnet` and `--as`, the one that `--as`
/// names by its code, or all (of the province that `--as` names).
fn agencies_to_ask(context: &Context, node: &Node) -> Result<Vec<Uscc>, Failure> {
    let acting_as = context.global.acting_as.as_deref();
    if let Some(Ok(uscc)) = acting_as.map(str::parse::<Uscc>) {
        return Ok(vec![uscc]);
    }
    // An explicit --key may be of an agency that devnet.json does not know.
    if let (None, Some(network), Some(province)) =
        (&context.global.key, context.network()?, acting_as)
    {
        let named = network.agencies.iter().filter(|a| a.province == province);
        return Ok(named.filter_map(|a| a.uscc.parse().ok()).collect());
    }
    let path = match acting_as.map(str::parse::<ProvinceCode>) {
        Some(Ok(province)) => format!("/v1/agencies?province={province}"),
        Some(Err(_)) => {
            return Err(Failure::usage(
                "bad_as",
                "--as names neither a province nor an agency",
                "give two digits, such as 44, or a unified social credit code",
            ));
        }
        None => "/v1/agencies".to_owned(),
    };
    let agencies = node.list(&path)?;
    Ok(agencies.iter().filter_map(|a| text(a, "uscc").parse().ok()).collect())
}

/// The number of `key` among an actor's valid keys of one purpose.
pub(crate) fn find_key(actor: &Value, key: &SecretKey, purpose: &str) -> Option<u32> {
    let keys = actor.get("keys")?.as_array()?;
    let ours = keys.iter().find(|k| {
        text(k, "purpose") == purpose
            && k.get("valid").and_then(Value::as_bool) != Some(false)
            && from_base64url(text(k, "key")).as_deref() == Some(key.public_key().as_bytes())
    });
    ours?.get("id")?.as_u64().and_then(|id| u32::try_from(id).ok())
}

fn unknown_key(context: &Context, node: &Node, key: &SecretKey, of: &str) -> Failure {
    // Only a key that was found by --devnet must be one that the network was founded with.
    let of_network = context.global.key.is_none() && context.network().is_ok_and(|n| n.is_some());
    let hint = match of {
        _ if of_network => {
            "the network may have been made anew: run `symbolon devnet up` on this folder again"
        }
        "agency" => "use a valid key of an agency, or let its province register this one",
        _ => {
            "use the authority key of a province; its validator's and its agencies' keys sign \
             nothing for it"
        }
    };
    Failure::refused(
        UNKNOWN_KEY,
        format!("{} knows no {of} with the valid transaction key {}", node.url(), key.public_key()),
        hint,
    )
}

/// Sends `transaction` until it is committed, refused or expired, for at most `patience`.
///
/// # Errors
///
/// [`NotCommitted`].
pub(crate) fn settle(
    node: &Node,
    transaction: &SignedTransaction,
    patience: Duration,
) -> Result<Committed, NotCommitted> {
    let started = Instant::now();
    let id = transaction.id();
    let (mut silences, mut may_linger) = (0, false);
    loop {
        let pause = match node.submit(transaction.as_bytes(), WAIT) {
            Ok(Submitted::Committed { height, receipt }) => {
                return Ok(Committed { id, height, receipt });
            }
            Ok(Submitted::Pending) => {
                silences = 0;
                refused_meanwhile(node, &id)?;
                // A node whose places for waiting are taken answers at once.
                PAUSE
            }
            Err(NodeError::Problem(problem)) if problem.is_passing() => {
                silences = 0;
                PAUSE
            }
            Err(NodeError::Problem(problem)) => {
                return final_answer(node, transaction, Refusal { problem, may_linger });
            }
            Err(NodeError::Unreachable(failure)) => {
                silences += 1;
                if silences >= MAX_SILENCES.max(node.patience()) {
                    return Err(NotCommitted::Unsettled(failure));
                }
                PAUSE
            }
        };
        may_linger = true;
        if started.elapsed() >= patience {
            return Err(NotCommitted::Unsettled(Failure::unreachable(
                "not_committed",
                format!("transaction {id} was not committed in {} seconds", patience.as_secs()),
                format!(
                    "it may still be, until height {}: `symbolon receipt get {id}` says where it \
                     stands, `symbolon doctor` whether blocks are made",
                    transaction.payload().valid_until_height
                ),
            )));
        }
        thread::sleep(pause);
    }
}

/// A transaction that waits although the newest state refuses it is reported as refused. Should
/// it apply later after all, it does what it says; whoever makes another in its place must make
/// one that excludes it (the import does: the same licences have the same names).
fn refused_meanwhile(node: &Node, id: &TransactionId) -> Result<(), NotCommitted> {
    let Ok(state) = node.transaction(id) else { return Ok(()) };
    let failure = match text(&state, "state") {
        "pending" => state.get("last_failure").filter(|f| !f.is_null()),
        "rejected" => Some(&state),
        "expired" => return Err(NotCommitted::Expired),
        _ => None,
    };
    let Some(failure) = failure else { return Ok(()) };
    let index = failure.get("operation_index").and_then(Value::as_u64);
    let problem = Box::new(Problem {
        status: 422,
        code: text(failure, "code").to_owned(),
        detail: format!("the ledger refuses it: {}", text(failure, "code").replace('_', " ")),
        hint: text(failure, "hint").to_owned(),
        operation_index: index.and_then(|i| usize::try_from(i).ok()),
        body: failure.clone(),
    });
    Err(NotCommitted::Refused(Refusal { problem, may_linger: true }))
}

/// A refusal of bytes that were sent before may only mean that they are in a block already.
fn final_answer(
    node: &Node,
    transaction: &SignedTransaction,
    refusal: Refusal,
) -> Result<Committed, NotCommitted> {
    let id = transaction.id();
    if let Ok(state) = node.transaction(&id) {
        let height = state.get("height").and_then(Value::as_u64);
        if let ("committed", Some(height)) = (text(&state, "state"), height)
            && let Ok(receipt) = node.receipt(&id)
        {
            return Ok(Committed { id, height, receipt });
        }
        let tip = state.get("tip").and_then(Value::as_u64).unwrap_or(0);
        if tip >= transaction.payload().valid_until_height {
            return Err(NotCommitted::Expired);
        }
    }
    Err(NotCommitted::Refused(refusal))
}

/// Signs `operations`, sends them and waits until they are in a block.
///
/// # Errors
///
/// When they are refused, or it cannot be told whether they are.
pub(crate) fn commit(
    node: &Node,
    signer: &Signer,
    operations: Vec<Operation>,
) -> Result<Committed, Failure> {
    Ok(settle(node, &signer.sign(node, operations)?, PATIENCE)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_two_provinces_signs_for_the_one_that_was_named() {
        let province = |code: &str, id| (code.parse().unwrap(), id);
        let check = |found: &[(ProvinceCode, u32)], wanted: Option<&str>, expected: &str| {
            let said = match choose(found, wanted.map(|code| code.parse().unwrap())) {
                Ok(Some((code, id))) => format!("{code} {id}"),
                Ok(None) => "nobody".to_owned(),
                Err(failure) => failure.code,
            };
            assert_eq!(said, expected, "{found:?} {wanted:?}");
        };
        let (one, two) = ([province("44", 3)], [province("44", 3), province("51", 0)]);
        check(&[], None, "nobody");
        check(&[], Some("44"), "nobody");
        check(&one, None, "44 3");
        check(&one, Some("44"), "44 3");
        check(&one, Some("51"), "other_province");
        check(&two, None, "key_of_several");
        check(&two, Some("51"), "51 0");
        check(&two, Some("11"), "other_province");
    }
}
