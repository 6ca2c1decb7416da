//! Writing: a block is one synced batch.

use rocksdb::WriteBatch;
use symbolon_genesis::Genesis;
use symbolon_ledger::{
    block::{Block, header_hash},
    certificate::Certificate,
    codec::{self, local},
    log::{Frontier, leaf_hash},
    records::LicenceStatus,
    state::StateKey,
    state_proof::PLACEHOLDER,
    tree::{self, Change, Memory, TreeUpdate},
};

use super::{
    StorageError, Store,
    schema::{Location, MAGIC, SCHEMA_VERSION, StoredEvent, cf, height_key, history_key, meta},
    status_pages, synced,
};
use crate::execution::Executed;

/// A decided block with everything that becomes durable together with it.
#[derive(Debug)]
pub struct Commit<'a> {
    /// The block.
    pub block: &'a Block,
    /// Its certificate.
    pub certificate: &'a Certificate,
    /// What it does.
    pub executed: &'a Executed,
}

impl Store {
    /// Makes a block durable, and only then visible: one synced batch of block, certificate,
    /// state, tree, indices, status pages and tip.
    ///
    /// # Errors
    ///
    /// [`StorageError`]; then nothing of the block is durable and the node must stop.
    pub fn commit(&self, commit: &Commit<'_>) -> Result<(), StorageError> {
        let view = self.view()?;
        let height = commit.block.header.height;
        // Our own invariant, in release too: a batch that does not stand on the tip would fork
        // this node from its own past.
        if height != view.tip().height + 1 || commit.block.header.parent != view.tip().hash {
            return Err(StorageError::damaged(format!(
                "block {height} does not follow the tip at {}",
                view.tip().height
            )));
        }
        let frontier = view.frontier()?;
        let statuses = status_pages::project(&view, commit.executed)?;
        drop(view);
        let mut batch = WriteBatch::default();
        self.put_block(&mut batch, commit.block, frontier);
        if commit.block.header.next_validators_hash != commit.block.header.validators_hash {
            self.put_validators(&mut batch, height, &commit.executed.next_validators);
        }
        batch.put_cf(
            self.cf(cf::CERTIFICATES),
            height_key(height),
            codec::encode(commit.certificate),
        );
        self.put_state(&mut batch, commit.executed);
        self.put_indices(&mut batch, commit);
        statuses.put(self, &mut batch, height);
        // Proposals for this height are of no use to anybody any more. One by one: a range that is
        // removed with each block is looked through by each reader, together with all before it.
        for (key, _) in self.kept_undecided(height)? {
            batch.delete_cf(self.cf(cf::UNDECIDED), key);
        }
        // Before anybody can know of the block.
        self.recent.keep(commit.block);
        self.db.write_opt(batch, &synced())?;
        self.pages.follow(&commit.executed.tree);
        self.commits.send_replace(height);
        Ok(())
    }

    /// Writes block 0 into an empty database.
    pub(super) fn found(&self, genesis: &Genesis) -> Result<(), StorageError> {
        let changes = genesis.changes();
        let records = changes.iter().filter(|(key, _)| key.is_authenticated());
        let mut batch = WriteBatch::default();
        let records = records.map(|(key, record): (&StateKey, &Option<Vec<u8>>)| {
            Change::new(key.map_key(), record.as_deref())
        });
        let update = tree::update(&Memory::default(), PLACEHOLDER, records.collect())
            .map_err(StorageError::damaged)?;
        let header = genesis.block_zero(update.root);
        let block = Block { header, transactions: Vec::new() };
        self.put_block(&mut batch, &block, Frontier::default());
        self.put_validators(&mut batch, 0, &genesis.validator_set());
        self.put_changes(&mut batch, &changes);
        self.put_pages(&mut batch, &update);
        let version = [&MAGIC[..], &SCHEMA_VERSION.to_be_bytes()].concat();
        batch.put_cf(self.cf(cf::META), meta::SCHEMA, version);
        batch.put_cf(self.cf(cf::META), meta::CHAIN, self.chain_id.as_bytes());
        Ok(self.db.write_opt(batch, &synced())?)
    }

    fn put_block(&self, batch: &mut WriteBatch, block: &Block, mut frontier: Frontier) {
        let header = codec::encode(&block.header);
        let hash = header_hash(&header);
        let key = height_key(block.header.height);
        let completed = frontier.append(leaf_hash(hash.as_bytes()));
        self.put_subtrees(batch, &completed);
        batch.put_cf(self.cf(cf::HEADERS), key, &header);
        batch.put_cf(self.cf(cf::BLOCKS), key, block.encode());
        batch.put_cf(self.cf(cf::HEIGHTS), hash.as_bytes(), key);
        batch.put_cf(self.cf(cf::META), meta::TIP, key);
        batch.put_cf(self.cf(cf::META), meta::FRONTIER, codec::encode(&frontier));
    }

    fn put_state(&self, batch: &mut WriteBatch, executed: &Executed) {
        self.put_changes(batch, &executed.changes);
        self.put_pages(batch, &executed.tree);
    }

    fn put_changes(&self, batch: &mut WriteBatch, changes: &symbolon_contracts::Changes) {
        for (key, record) in changes {
            match record {
                Some(bytes) => batch.put_cf(self.cf(cf::STATE), key.encode(), bytes),
                None => batch.delete_cf(self.cf(cf::STATE), key.encode()),
            }
        }
    }

    /// Pages are written over those of the height before: readers hold snapshots, and only the
    /// newest state is ever proved.
    fn put_pages(&self, batch: &mut WriteBatch, update: &TreeUpdate) {
        for key in &update.gone {
            batch.delete_cf(self.cf(cf::PAGES), key.as_bytes());
        }
        let mut bytes = Vec::new();
        for (key, page) in &update.put {
            page.encode_to(&mut bytes);
            batch.put_cf(self.cf(cf::PAGES), key.as_bytes(), &bytes);
        }
    }

    fn put_indices(&self, batch: &mut WriteBatch, commit: &Commit<'_>) {
        let height = commit.block.header.height;
        let leaves: Vec<_> = commit.block.transactions.iter().map(|t| t.leaf()).collect();
        batch.put_cf(self.cf(cf::LEAVES), height_key(height), leaves.concat());
        let transactions = commit.block.transactions.iter().zip(&commit.executed.events);
        for (index, (transaction, events)) in (0u32..).zip(transactions) {
            let id = transaction.id();
            let location = local::encode(&Location { height, index });
            batch.put_cf(self.cf(cf::TRANSACTIONS), id.as_bytes(), location);
            let actor = codec::encode(&transaction.payload().actor);
            for event in events {
                let (Some(cid), Some(licence)) = (event.cid, &event.licence_after) else {
                    continue;
                };
                let place = u32::try_from(event.operation_index).unwrap_or(u32::MAX);
                let class = match licence.status {
                    LicenceStatus::Revoked { class } => Some(class.name().to_owned()),
                    _ => None,
                };
                let stored = StoredEvent {
                    transaction: id.0,
                    event: event.name.to_owned(),
                    status: licence.status.name().to_owned(),
                    related: event.related.map(|related| related.0),
                    actor: actor.clone(),
                    revocation_class: class,
                };
                let key = history_key(&cid, height, index, place);
                batch.put_cf(self.cf(cf::HISTORY), key, local::encode(&stored));
            }
        }
    }
}
