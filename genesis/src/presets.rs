//! What a network can begin with: the nation's provinces and catalogue, as data files, and a
//! development network made of them.
//!
//! The data say of every code whether a source confirms it. No key is a preset: those of a
//! development network come from its caller.

use symbolon_ledger::{
    catalogue::LicenceTypeRecord,
    codes::{CodeError, Label, Origin, ProvinceCode, Uscc},
    hash::tagged_hash,
    keys::{PublicKey, SecretKey},
};

use crate::{
    document::{
        self, Agency, Chain, DEFAULT_BUNDLE_MAX_AGE_MS, DEFAULT_IDLE_BLOCK_INTERVAL_MS,
        DEFAULT_MAX_STALENESS_MS, Genesis, Province, Scope, ValidatorEntry,
    },
    members::{At, Members},
    peer_id::PeerId,
    reader::{Fields, Reader},
};

const PROVINCES: &str = include_str!("../presets/provinces.toml");
const CATALOGUE: &str = include_str!("../presets/catalogue.toml");

/// A province of the nation, without keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedProvince {
    /// Its code.
    pub code: ProvinceCode,
    /// Chinese name.
    pub name_zh: Label,
    /// English name.
    pub name_en: Label,
    /// First label of a host name.
    pub slug: String,
    /// Whether a source confirms the code.
    pub verified: bool,
    /// The source, or why there is none.
    pub source: Label,
}

/// The 31 provinces and the Corps, ascending by code.
#[must_use]
pub fn provinces() -> Vec<ListedProvince> {
    let reader = Reader::new(PROVINCES);
    let table = reader.parse(PROVINCES);
    let fields = Fields::new(&reader, &table, "presets/provinces.toml");
    let listed = |f: Fields<'_>| {
        let province = ListedProvince {
            code: f.parsed("code", "44")?,
            name_zh: f.parsed("name_zh", "广东省")?,
            name_en: f.parsed("name_en", "Guangdong")?,
            slug: f.word("slug", "guangdong")?.text.to_owned(),
            verified: f.flag("verified", None)?,
            source: f.parsed("source", "GB/T 2260")?,
        };
        f.finish();
        Some(province)
    };
    let tables = fields.tables("provinces", document::MOST_VALIDATORS);
    let provinces = tables.into_iter().filter_map(listed).collect();
    fields.finish();
    let problems = reader.into_problems();
    assert!(problems.is_empty(), "presets/provinces.toml is part of the program: {problems:?}");
    provinces
}

/// The national catalogue, ascending by code and numbered so.
#[must_use]
pub fn catalogue() -> Vec<LicenceTypeRecord> {
    let reader = Reader::new(CATALOGUE);
    let table = reader.parse(CATALOGUE);
    let fields = Fields::new(&reader, &table, "presets/catalogue.toml");
    let (types, _) = document::read_types(&reader, &fields);
    fields.finish();
    let problems = reader.into_problems();
    assert!(problems.is_empty(), "presets/catalogue.toml is part of the program: {problems:?}");
    types
}

/// The provinces of a development network of four, in the order of their nodes.
const DEVNET_FIRST: [&str; 4] = ["11", "31", "44", "51"];
/// Most nodes of a development network: one a listed province.
pub const MAX_DEVNET: usize = 32;

/// The provinces of a development network of `count` nodes, in the order of their nodes: Beijing,
/// Shanghai, Guangdong and Sichuan first, then the others by code. `count` is cut to
/// [`MAX_DEVNET`].
#[must_use]
pub fn devnet_provinces(count: usize) -> Vec<ListedProvince> {
    let all = provinces();
    let is_first = |p: &ListedProvince| DEVNET_FIRST.contains(&p.code.as_str());
    let first = all.iter().filter(|p| is_first(p));
    first.chain(all.iter().filter(|p| !is_first(p))).take(count).cloned().collect()
}

/// What is public of one node of a development network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevnetMember {
    /// Its province.
    pub province: ListedProvince,
    /// The province's authority.
    pub authority_key: PublicKey,
    /// Signs the province's status lists.
    pub status_key: PublicKey,
    /// Signs its votes.
    pub validator_key: PublicKey,
    /// Its connections.
    pub network_key: PublicKey,
    /// Signs its agency's transactions.
    pub transaction_key: PublicKey,
    /// Signs its agency's credentials.
    pub credential_key: PublicKey,
    /// Its multiaddrs.
    pub addresses: Vec<String>,
}

/// The credit code of the agency that a development network gives a province: of the unassigned
/// region `PP9999`, so that it is nobody's.
#[must_use]
pub fn devnet_uscc(province: ProvinceCode) -> Uscc {
    let body = format!("11{province}9999MB00000{province}");
    match format!("{body}0").parse::<Uscc>() {
        Ok(uscc) => uscc,
        Err(CodeError::UsccCheck { expected }) => {
            format!("{body}{expected}").parse().expect("the check character was just computed")
        }
        Err(_) => unreachable!("17 digits and the letters M and B are of the right form"),
    }
}

/// A development network: a province, a validator and an agency for each member, which may issue
/// every type of the national catalogue.
#[must_use]
pub fn devnet(genesis_time_ms: u64, members: &[DevnetMember]) -> Genesis {
    let label = |text: String| text.parse::<Label>().expect("a short name of the preset");
    let nowhere = At { file: 0, line: 0 };
    let mut all = Members::default();
    for member in members {
        let ListedProvince { code, name_zh, name_en, slug, verified, source } =
            member.province.clone();
        let origin = format!("https://{slug}.province.example");
        let agency = label(format!("{name_zh}示范发证局"));
        all.provinces.push((
            nowhere,
            Province {
                code,
                name_zh,
                name_en,
                issuer_origin: origin.parse::<Origin>().expect("a slug is a label of a host name"),
                authority_key: member.authority_key,
                verified,
                source,
                status_key: Some(member.status_key),
            },
        ));
        all.validators.push((
            nowhere,
            ValidatorEntry {
                province: code,
                key: member.validator_key,
                peer_id: PeerId::of(&member.network_key),
                addresses: member.addresses.clone(),
            },
        ));
        all.agencies.push((
            nowhere,
            Agency {
                uscc: devnet_uscc(code),
                name: agency,
                province: code,
                scope: Scope::All,
                transaction_key: member.transaction_key,
                credential_key: member.credential_key,
            },
        ));
    }
    let chain = Chain {
        name: label("devnet".to_owned()),
        genesis_time_ms,
        idle_block_interval_ms: DEFAULT_IDLE_BLOCK_INTERVAL_MS,
        max_staleness_ms: DEFAULT_MAX_STALENESS_MS,
        bundle_max_age_ms: DEFAULT_BUNDLE_MAX_AGE_MS,
    };
    Genesis::assemble(chain, catalogue(), all)
}

/// The private keys of one member of a development network.
#[derive(Debug)]
pub struct DevnetKeys {
    /// Its province.
    pub province: ProvinceCode,
    /// See [`DevnetMember`], as for the others.
    pub authority: SecretKey,
    /// Status lists.
    pub status: SecretKey,
    /// Votes.
    pub validator: SecretKey,
    /// Connections.
    pub network: SecretKey,
    /// The agency's transactions.
    pub transaction: SecretKey,
    /// The agency's credentials.
    pub credential: SecretKey,
}

impl DevnetKeys {
    /// Keys that `seed` determines, for tests and benches; whoever knows the seed has them.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32], province: ProvinceCode) -> Self {
        let key = |purpose: &str| {
            let parts = [seed.as_slice(), province.as_str().as_bytes()];
            SecretKey::from_seed(tagged_hash(&format!("devnet {purpose}"), &parts).as_bytes())
        };
        Self {
            province,
            authority: key("authority"),
            status: key("status"),
            validator: key("validator"),
            network: key("network"),
            transaction: key("transaction"),
            credential: key("credential"),
        }
    }

    /// What is public of them.
    #[must_use]
    pub fn member(&self, province: &ListedProvince, addresses: Vec<String>) -> DevnetMember {
        DevnetMember {
            province: province.clone(),
            authority_key: self.authority.public_key(),
            status_key: self.status.public_key(),
            validator_key: self.validator.public_key(),
            network_key: self.network.public_key(),
            transaction_key: self.transaction.public_key(),
            credential_key: self.credential.public_key(),
            addresses,
        }
    }
}

/// A development network whose keys all come from `seed`; node i (from 1) listens on
/// 127.0.0.1 at `first_port + i`. For tests and benches.
#[must_use]
pub fn devnet_from_seed(
    count: usize,
    seed: &[u8; 32],
    genesis_time_ms: u64,
    first_port: u16,
) -> (Genesis, Vec<DevnetKeys>) {
    let provinces = devnet_provinces(count);
    let keys: Vec<DevnetKeys> =
        provinces.iter().map(|p| DevnetKeys::from_seed(seed, p.code)).collect();
    let members: Vec<DevnetMember> = (1..)
        .zip(provinces.iter().zip(&keys))
        .map(|(i, (province, keys))| {
            let port = first_port.saturating_add(i);
            keys.member(province, vec![format!("/ip4/127.0.0.1/tcp/{port}")])
        })
        .collect();
    (devnet(genesis_time_ms, &members), keys)
}

#[cfg(test)]
#[path = "presets_tests.rs"]
mod tests;
