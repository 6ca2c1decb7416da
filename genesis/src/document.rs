//! The founding document: what all provinces agree on before the first block.
//!
//! [`Genesis::parse`] reads it whole or reports everything that is wrong with it. Its value is
//! independent of comments, line ends and the order in which things stand, and so is the chain's
//! name, [`Genesis::chain_id`]. What it founds is in [`crate::founding`]; how several provinces
//! write one without showing each other a private key, in [`crate::ceremony`].

use jiff::Timestamp;
use minicbor::Encode;
use symbolon_ledger::{
    catalogue::LicenceTypeRecord,
    codec,
    codes::{Label, Origin, ProvinceCode, TypeCode, Uscc},
    hash::{ChainId, domain, tagged_hash},
    keys::PublicKey,
    records::{LONGEST_PARAMETER_MS, MAX_SCOPE, SHORTEST_PARAMETER_MS},
    validators::MAX_VALIDATORS,
};

use crate::{
    catalogue,
    members::{self, At, Members},
    peer_id::PeerId,
    reader::{Fields, Problem, Reader},
};

/// Longest founding document, in bytes: 64 provinces with 10,000 agencies take about 3 MiB.
pub const MAX_DOCUMENT_BYTES: usize = 4 * 1024 * 1024;
/// Most agencies that are founded; more register themselves later, by transactions.
pub const MAX_AGENCIES: usize = 10_000;
/// Most licence types, so that an agency's scope can hold them all.
pub const MAX_TYPES: usize = MAX_SCOPE;
/// Most addresses of a validator.
pub const MAX_ADDRESSES: usize = 8;
/// Fewest validators of which one may fail.
pub const FEWEST_SAFE_VALIDATORS: usize = 4;

/// How long a proposer waits for transactions before it proposes an empty block.
pub const DEFAULT_IDLE_BLOCK_INTERVAL_MS: u64 = 10_000;
/// Greatest age of a header on which a verdict may rest.
pub const DEFAULT_MAX_STALENESS_MS: u64 = 60_000;
/// Greatest age of a pinned header on which an offline verifier may rest: a week.
pub const DEFAULT_BUNDLE_MAX_AGE_MS: u64 = 7 * 24 * 3_600_000;

/// The version of what [`Genesis::chain_id`] hashes.
const DOCUMENT_VERSION: u8 = 1;

/// `[chain]`: the network as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Encode)]
#[cbor(map)]
pub struct Chain {
    /// The network's name.
    #[n(0)]
    pub name: Label,
    /// The founding block's time, in milliseconds since 1970-01-01T00:00Z.
    #[n(1)]
    pub genesis_time_ms: u64,
    /// See [`DEFAULT_IDLE_BLOCK_INTERVAL_MS`].
    #[n(2)]
    pub idle_block_interval_ms: u64,
    /// See [`DEFAULT_MAX_STALENESS_MS`]; greater than the idle interval.
    #[n(3)]
    pub max_staleness_ms: u64,
    /// See [`DEFAULT_BUNDLE_MAX_AGE_MS`].
    #[n(4)]
    pub bundle_max_age_ms: u64,
}

/// `[[provinces]]`: a province and the key of its authority.
#[derive(Debug, Clone, PartialEq, Eq, Encode)]
#[cbor(map)]
pub struct Province {
    /// Its code.
    #[n(0)]
    pub code: ProvinceCode,
    /// Chinese name.
    #[n(1)]
    pub name_zh: Label,
    /// English name.
    #[n(2)]
    pub name_en: Label,
    /// The origin under which its agencies issue; it never changes.
    #[n(3)]
    pub issuer_origin: Origin,
    /// Signs the transactions of its authority.
    #[n(4)]
    pub authority_key: PublicKey,
    /// Whether a source confirms the code.
    #[n(5)]
    pub verified: bool,
    /// The source, or why there is none.
    #[n(6)]
    pub source: Label,
    /// Signs its status lists; a province without one names it later, by a transaction.
    #[n(7)]
    pub status_key: Option<PublicKey>,
}

/// `[[validators]]`: a province's node.
#[derive(Debug, Clone, PartialEq, Eq, Encode)]
#[cbor(map)]
pub struct ValidatorEntry {
    /// The province that it votes for.
    #[n(0)]
    pub province: ProvinceCode,
    /// Signs its votes.
    #[n(1)]
    pub key: PublicKey,
    /// Names its node in the peer-to-peer network.
    #[n(2)]
    pub peer_id: PeerId,
    /// Where it can be reached, as multiaddrs; 1 to [`MAX_ADDRESSES`].
    #[n(3)]
    pub addresses: Vec<String>,
}

/// The licence types that an agency may issue.
#[derive(Debug, Clone, PartialEq, Eq, Encode)]
pub enum Scope {
    /// All types of the document.
    #[n(0)]
    All,
    /// These, in ascending order.
    #[n(1)]
    Types(#[n(0)] Vec<TypeCode>),
}

/// `[[agencies]]`: an issuing agency that is there from the beginning.
#[derive(Debug, Clone, PartialEq, Eq, Encode)]
#[cbor(map)]
pub struct Agency {
    /// Its credit code.
    #[n(0)]
    pub uscc: Uscc,
    /// Its name.
    #[n(1)]
    pub name: Label,
    /// The province that answers for it.
    #[n(2)]
    pub province: ProvinceCode,
    /// What it may issue.
    #[n(3)]
    pub scope: Scope,
    /// Signs its transactions.
    #[n(4)]
    pub transaction_key: PublicKey,
    /// Signs its credentials.
    #[n(5)]
    pub credential_key: PublicKey,
}

/// A founding document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Genesis {
    /// The network.
    pub chain: Chain,
    /// Provinces, ascending by code.
    pub provinces: Vec<Province>,
    /// Validators, ascending by province; one a province at most.
    pub validators: Vec<ValidatorEntry>,
    /// Agencies, ascending by credit code.
    pub agencies: Vec<Agency>,
    /// Licence types, ascending by code; `index` is each one's place.
    pub licence_types: Vec<LicenceTypeRecord>,
}

/// What is hashed: everything, with integer keys and in its one order.
#[derive(Encode)]
#[cbor(map)]
struct Hashed<'g> {
    #[n(0)]
    version: u8,
    #[n(1)]
    chain: &'g Chain,
    #[n(2)]
    provinces: &'g [Province],
    #[n(3)]
    validators: &'g [ValidatorEntry],
    #[n(4)]
    agencies: &'g [Agency],
    #[n(5)]
    licence_types: &'g [LicenceTypeRecord],
}

impl Genesis {
    /// Reads a founding document.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it, by line; never an empty list.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        let reader = open(text)?;
        let table = reader.parse(text);
        let fields = Fields::new(&reader, &table, "the document");
        let chain = fields.table("chain").and_then(|f| read_chain(&reader, f));
        let (types, all_types) = read_types(&reader, &fields);
        let mut members = members::read(&reader, &fields, 0);
        members.incomplete |= !all_types;
        fields.finish();
        members::check(&members, &types, &mut |at, what, hint| {
            reader.report(at.map(|at| at.line), what, hint);
        });
        let problems = reader.into_problems();
        match chain {
            Some(chain) if problems.is_empty() => Ok(Self::assemble(chain, types, members)),
            _ => Err(problems),
        }
    }

    /// Puts everything into its one order. The parts have been checked.
    pub(crate) fn assemble(
        chain: Chain,
        mut licence_types: Vec<LicenceTypeRecord>,
        members: Members,
    ) -> Self {
        fn plain<T>(located: Vec<(At, T)>) -> Vec<T> {
            located.into_iter().map(|(_, item)| item).collect()
        }
        let (mut provinces, mut validators, mut agencies) =
            (plain(members.provinces), plain(members.validators), plain(members.agencies));
        provinces.sort_by_key(|p| p.code);
        validators.sort_by_key(|v| v.province);
        agencies.sort_by_key(|a| a.uscc);
        number(&mut licence_types);
        Self { chain, provinces, validators, agencies, licence_types }
    }

    /// The document's deterministic CBOR, which the chain's name is the hash of.
    #[must_use]
    pub fn canonical_bytes(&self) -> Vec<u8> {
        codec::encode(&Hashed {
            version: DOCUMENT_VERSION,
            chain: &self.chain,
            provinces: &self.provinces,
            validators: &self.validators,
            agencies: &self.agencies,
            licence_types: &self.licence_types,
        })
    }

    /// The chain's name: SHA-256 of `symbolon/chain/1` and [`Genesis::canonical_bytes`].
    #[must_use]
    pub fn chain_id(&self) -> ChainId {
        tagged_hash(domain::CHAIN, &[&self.canonical_bytes()])
    }

    /// The types that `agency` may issue, ascending.
    #[must_use]
    pub fn scope_of(&self, agency: &Agency) -> Vec<TypeCode> {
        match &agency.scope {
            Scope::All => self.licence_types.iter().map(|t| t.code.clone()).collect(),
            Scope::Types(types) => types.clone(),
        }
    }

    /// What is allowed and yet deserves a word before a network is founded with it.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let count = self.validators.len();
        if count < FEWEST_SAFE_VALIDATORS {
            warnings.push(format!(
                "with {count} of at least {FEWEST_SAFE_VALIDATORS} validators, the chain stops \
                 when any one of them fails"
            ));
        }
        for province in &self.provinces {
            if !self.validators.iter().any(|v| v.province == province.code) {
                let name = &province.name_en;
                warnings.push(format!("{name} ({}) has no validator: no vote", province.code));
            }
        }
        warnings
    }
}

/// A reader of `text`, if it is short enough.
pub(crate) fn open(text: &str) -> Result<Reader, Vec<Problem>> {
    if text.len() > MAX_DOCUMENT_BYTES {
        return Err(vec![Problem {
            line: None,
            what: format!("{} bytes, more than the {MAX_DOCUMENT_BYTES} allowed", text.len()),
            hint: "is this the right file?".to_owned(),
        }]);
    }
    Ok(Reader::new(text))
}

/// Earliest and latest founding time: the years 2000 to 9999.
const EARLIEST_MS: i64 = 946_684_800_000;
const LATEST_MS: i64 = 253_402_300_799_999;

pub(crate) fn read_chain(reader: &Reader, fields: Fields<'_>) -> Option<Chain> {
    let line = fields.line;
    let name = fields.parsed("name", "符节");
    let time = fields
        .instant("genesis_time", "2026-01-01T00:00:00Z")
        .and_then(|(line, text)| read_time(reader, line, &text));
    let bounds = SHORTEST_PARAMETER_MS..=LONGEST_PARAMETER_MS;
    let span = |key, default| fields.number(key, Some(default), bounds.clone());
    let idle = span("idle_block_interval_ms", DEFAULT_IDLE_BLOCK_INTERVAL_MS);
    let staleness = span("max_staleness_ms", DEFAULT_MAX_STALENESS_MS);
    let bundle = span("bundle_max_age_ms", DEFAULT_BUNDLE_MAX_AGE_MS);
    fields.finish();
    if let (Some(idle), Some(staleness)) = (idle, staleness)
        && staleness <= idle
    {
        let what = format!("max_staleness_ms = {staleness} is not above the idle interval, {idle}");
        let hint = "an idle chain would always look stale; give several idle intervals";
        reader.report(Some(line), what, hint);
    }
    Some(Chain {
        name: name?,
        genesis_time_ms: time?,
        idle_block_interval_ms: idle?,
        max_staleness_ms: staleness?,
        bundle_max_age_ms: bundle?,
    })
}

fn read_time(reader: &Reader, line: usize, text: &str) -> Option<u64> {
    let time = text.parse::<Timestamp>().ok();
    let ms =
        time.map(Timestamp::as_millisecond).filter(|ms| (EARLIEST_MS..=LATEST_MS).contains(ms));
    let exact = time.is_some_and(|t| t.subsec_nanosecond() % 1_000_000 == 0);
    if ms.is_none() || !exact {
        let hint = "give date, time and offset (RFC 3339) in milliseconds at most, such as \
                    2026-01-01T08:00:00+08:00";
        reader.report(Some(line), format!("genesis_time {text} is not such a time"), hint);
        return None;
    }
    ms.and_then(|ms| u64::try_from(ms).ok())
}

/// Reads the catalogue; entries that are wrong are reported and left out. Also says whether none
/// was.
pub(crate) fn read_types(reader: &Reader, fields: &Fields<'_>) -> (Vec<LicenceTypeRecord>, bool) {
    let mut types: Vec<LicenceTypeRecord> = Vec::new();
    let mut whole = true;
    for entry in fields.tables("licence_types", MAX_TYPES) {
        let line = entry.line;
        let Some(record) = catalogue::read(reader, entry) else {
            whole = false;
            continue;
        };
        if types.iter().any(|t| t.code == record.code) {
            let what = format!("the licence type {} stands here twice", record.code);
            reader.report(Some(line), what, "remove one of the two");
        }
        types.push(record);
    }
    number(&mut types);
    (types, whole)
}

/// Puts types into their one order and numbers them.
pub(crate) fn number(types: &mut [LicenceTypeRecord]) {
    types.sort_by(|a, b| a.code.cmp(&b.code));
    for (index, record) in types.iter_mut().enumerate() {
        record.index = u16::try_from(index).expect("at most MAX_TYPES");
    }
}

/// Most validators of a document; the ledger's own bound.
pub(crate) const MOST_VALIDATORS: usize = MAX_VALIDATORS;
