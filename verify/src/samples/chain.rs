//! A chain of real blocks whose validators change as often as a test wants.

use std::rc::Rc;

use symbolon_ledger::{
    block::{HEADER_VERSION, Header},
    certificate::{CERTIFICATE_VERSION, Certificate, CommitSignature},
    codec::encode,
    codes::ProvinceCode,
    hash::{ChainId, Digest, sha256},
    inclusion::{INCLUSION_VERSION, Inclusion},
    keys::SecretKey,
    log,
    trust_bundle::{BundleHead, SetChange, TRUST_BUNDLE_VERSION, TrustBundle},
    validators::{Validator, ValidatorSet},
    vote::{VoteKind, vote_bytes},
};

use crate::trust::{Anchor, Trust};

const PROVINCES: [&str; 7] = ["11", "31", "44", "51", "53", "61", "65"];
/// Time of block 0, in milliseconds since 1970; each block comes a second later.
pub(crate) const FOUNDED_MS: u64 = 1_795_000_000_000;

/// The validators of one era, with their secret keys.
pub(crate) struct Members {
    keys: Vec<(ProvinceCode, SecretKey)>,
    set: ValidatorSet,
}

impl Members {
    /// Era number `era` with `size` validators; no era has a key of another.
    pub(crate) fn new(era: usize, size: usize) -> Rc<Self> {
        let key = |i: usize| SecretKey::from_seed(&sha256(format!("{era} {i}").as_bytes()).0);
        let keys: Vec<_> = (0..size).map(|i| (PROVINCES[i].parse().unwrap(), key(i))).collect();
        let validator = |(province, key): &(ProvinceCode, SecretKey)| Validator {
            province: *province,
            key: key.public_key(),
            peer_id: [&[0, 0x24, 8, 1, 0x12, 0x20], &key.public_key().as_bytes()[..]].concat(),
        };
        let set = ValidatorSet::new(keys.iter().map(validator).collect()).unwrap();
        Rc::new(Self { keys, set })
    }

    pub(crate) fn set(&self) -> &ValidatorSet {
        &self.set
    }

    /// Precommits of these members for the block, in the order given, right or wrong.
    pub(crate) fn sign(&self, header: &Header, signers: &[usize]) -> Certificate {
        let (height, round, block) = (header.height, 2, header.hash());
        let kind = VoteKind::Precommit;
        let message = vote_bytes(kind, &header.chain_id, height, round, Some(&block));
        let sign = |i: &usize| {
            let (province, key) = &self.keys[*i];
            CommitSignature { province: *province, signature: key.sign(&message) }
        };
        let signatures = signers.iter().map(sign).collect();
        Certificate { version: CERTIFICATE_VERSION, height, round, block, signatures }
    }

    /// Precommits of just enough members.
    pub(crate) fn certify(&self, header: &Header) -> Certificate {
        self.sign(header, &(0..self.set.quorum()).collect::<Vec<_>>())
    }
}

struct Block {
    header: Header,
    /// Who voted on it.
    members: Rc<Members>,
}

/// The chain.
#[derive(Default)]
pub(crate) struct Chain {
    blocks: Vec<Block>,
    leaves: Vec<Digest>,
    next: Option<Rc<Members>>,
    /// By how much blocks come later than one a second.
    waited_ms: u64,
}

impl Chain {
    /// A chain of block 0, with four validators.
    pub(crate) fn new() -> Self {
        let mut chain = Self::default();
        let members = Members::new(0, 4);
        let (set, next) = (members.set().hash(), members.set().hash());
        chain.next = Some(members);
        chain.push(|header| Header { validators_hash: set, next_validators_hash: next, ..header });
        chain
    }

    /// A chain that was founded and then changed all its validators' keys `changes` times, each
    /// time after `gap` ordinary blocks; some sets are larger than others.
    pub(crate) fn with_changes(changes: usize, gap: usize) -> Self {
        let mut chain = Self::new();
        for era in 1..=changes {
            chain.grow(gap);
            chain.change(Members::new(era, 4 + era % 4));
        }
        chain.grow(gap);
        chain
    }

    pub(crate) fn chain_id() -> ChainId {
        sha256(b"a chain whose validators change")
    }

    /// Ordinary blocks.
    pub(crate) fn grow(&mut self, count: usize) {
        for _ in 0..count {
            self.push(|header| header);
        }
    }

    /// Nothing happens for so long.
    pub(crate) fn wait(&mut self, ms: u64) {
        self.waited_ms += ms;
    }

    /// One block, with a state root and a transactions root of the caller's.
    pub(crate) fn block_of(&mut self, transactions_root: Digest, state_root: Digest) -> u64 {
        self.push(|header| Header { transactions_root, state_root, ..header })
    }

    /// A block that changes the set.
    pub(crate) fn change(&mut self, to: Rc<Members>) -> u64 {
        let next = to.set().hash();
        let height = self.push(|header| Header { next_validators_hash: next, ..header });
        self.next = Some(to);
        height
    }

    fn push(&mut self, change: impl FnOnce(Header) -> Header) -> u64 {
        let height = self.blocks.len() as u64;
        let members = self.next.clone().unwrap();
        let set = members.set().hash();
        let header = change(Header {
            version: HEADER_VERSION,
            chain_id: Self::chain_id(),
            height,
            time_ms: FOUNDED_MS + 1_000 * height + self.waited_ms,
            parent: self.blocks.last().map_or(Digest::ZERO, |b| b.header.hash()),
            history_root: log::root(&self.leaves),
            transactions_root: log::root(&[]),
            state_root: sha256(b"state"),
            validators_hash: set,
            next_validators_hash: set,
            proposer: (height > 0).then(|| "44".parse().unwrap()),
        });
        self.leaves.push(log::leaf_hash(header.hash().as_bytes()));
        self.blocks.push(Block { header, members });
        height
    }

    pub(crate) fn tip(&self) -> u64 {
        self.blocks.len() as u64 - 1
    }

    pub(crate) fn header(&self, height: u64) -> &Header {
        &self.blocks[height as usize].header
    }

    /// Who votes at `height`, which may be the one after the tip.
    pub(crate) fn members(&self, height: u64) -> &Members {
        self.blocks.get(height as usize).map_or(self.next.as_ref().unwrap(), |b| &b.members)
    }

    pub(crate) fn certificate(&self, height: u64) -> Certificate {
        self.members(height).certify(self.header(height))
    }

    pub(crate) fn founding(&self) -> Anchor<'static> {
        Anchor::founding(self.header(0))
    }

    pub(crate) fn trust(&self) -> Trust {
        Trust::founded(self.header(0), self.members(1).set().clone()).unwrap()
    }

    /// The bundle that ends at `head`.
    pub(crate) fn bundle(&self, head: u64) -> TrustBundle {
        let changed = |b: &&Block| b.header.validators_hash != b.header.next_validators_hash;
        let until = &self.blocks[..=head as usize];
        let change = |b: &Block| SetChange {
            header: encode(&b.header).into(),
            certificate: encode(&b.members.certify(&b.header)).into(),
            validators: self.members(b.header.height + 1).set().clone(),
        };
        TrustBundle {
            version: TRUST_BUNDLE_VERSION,
            chain_id: Self::chain_id(),
            genesis: self.header(0).hash(),
            validators: self.blocks[0].members.set().clone(),
            changes: until.iter().filter(changed).map(change).collect(),
            head: BundleHead {
                header: encode(self.header(head)).into(),
                certificate: (head > 0).then(|| encode(&self.certificate(head)).into()),
            },
        }
    }

    /// The inclusion of a block under a later one.
    pub(crate) fn inclusion(&self, height: u64, head: u64) -> Inclusion {
        Inclusion {
            version: INCLUSION_VERSION,
            header: encode(self.header(height)).into(),
            size: head,
            path: log::path(&self.leaves[..head as usize], height as usize).unwrap(),
        }
    }

    /// The bundle that ends at `head`, checked from the founding block.
    pub(crate) fn pinned(&self, head: u64) -> Trust {
        let now = self.header(head).time_ms;
        Trust::check(&encode(&self.bundle(head)), &self.founding(), now).unwrap()
    }
}
