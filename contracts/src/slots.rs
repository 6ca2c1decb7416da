//! Status slots: granted to agencies in blocks, used once, never given back.
//!
//! A licence's slot says where verifiers find its bit in the status lists of its province. The
//! agency chooses among its free slots at random, so that their order tells nothing; the bitmap
//! of a block is what refuses a second use, for ever. Lists themselves are made elsewhere.

use std::sync::Arc;

use symbolon_ledger::{
    codes::Uscc,
    records::{
        AgencyRecord, AgencyStatus, ProvinceRecord, SLOTS_PER_BLOCK, SlotBlockRecord, slot_block,
    },
    state::StateKey,
};

use crate::{
    rejection::{RejectionCode as Code, Stop, ensure},
    transaction::Run,
    view::StateView,
};

/// Most blocks of one reservation: 1,048,576 slots, one whole status list.
pub const MAX_BLOCKS_PER_RESERVATION: u16 = 256;
/// Most blocks that one province's agencies are granted at one height. A block's record takes
/// 530 bytes for ever, and without this bound one province's key could fill every node's disk.
pub const MAX_BLOCKS_PER_HEIGHT: u32 = 256;
/// Most blocks, less than half used, that an agency may have by its own reservation: 262,144 slots,
/// four times what an import reserves at once. Whoever steals an agency's key cannot take more from
/// the province than this without issuing; the province itself may grant more.
pub const MAX_OPEN_BLOCKS: u32 = 64;
/// Blocks of slots that a province has: slots are numbered in 32 bits.
pub const BLOCKS_PER_PROVINCE: u32 = 1 << (32 - SLOTS_PER_BLOCK.trailing_zeros());

/// Grants an agency the next blocks of its province.
pub(crate) fn reserve<V: StateView>(
    run: &mut Run<'_, '_, V>,
    uscc: &Uscc,
    blocks: u16,
) -> Result<(), Stop> {
    let agency = run.itself_or_own_agency(uscc)?;
    ensure(agency.status != AgencyStatus::Deregistered, Code::AgencyDeregistered)?;
    ensure((1..=MAX_BLOCKS_PER_RESERVATION).contains(&blocks), Code::BadBlockCount)?;
    let open = agency.open_blocks.saturating_add(blocks.into());
    if run.signer.agency().is_ok() {
        ensure(open <= MAX_OPEN_BLOCKS, Code::SlotsUnused)?;
    }
    let place = StateKey::Province(agency.province);
    let first = run.overlay.must::<ProvinceRecord>(&place)?.next_slot_block;
    let end = first.saturating_add(blocks.into());
    ensure(end <= BLOCKS_PER_PROVINCE, Code::SlotsExhausted)?;
    let before = run.overlay.before(&place)?.map_or(0, |p: ProvinceRecord| p.next_slot_block);
    ensure(end.saturating_sub(before) <= MAX_BLOCKS_PER_HEIGHT, Code::SlotsBusy)?;
    for block in first..end {
        let key = StateKey::SlotBlock(agency.province, block);
        run.overlay.put(key, SlotBlockRecord::new(agency.index))?;
    }
    let count = |a: &mut AgencyRecord| a.open_blocks = open;
    run.overlay.change(&StateKey::Agency(*uscc), count)?;
    Ok(run.overlay.change(&place, |p: &mut ProvinceRecord| p.next_slot_block = end)?)
}

/// Uses a slot of the agency, once and for all.
pub(crate) fn take<V: StateView>(
    run: &mut Run<'_, '_, V>,
    agency: &AgencyRecord,
    slot: u32,
) -> Result<(), Stop> {
    let (block, offset) = slot_block(slot);
    let place = StateKey::SlotBlock(agency.province, block);
    let granted: Arc<SlotBlockRecord> = run.overlay.get(&place)?.ok_or(Code::SlotNotGranted)?;
    ensure(granted.agency_index == agency.index, Code::SlotNotGranted)?;
    ensure(!granted.is_used(offset), Code::SlotUsed)?;
    drop(granted);
    let take = |b: &mut SlotBlockRecord| b.take(offset).then(|| b.used_count());
    let used = run.overlay.change(&place, take)?.ok_or(Code::SlotUsed)?;
    if used == SLOTS_PER_BLOCK / 2 {
        let count = |a: &mut AgencyRecord| a.open_blocks = a.open_blocks.saturating_sub(1);
        run.overlay.change(&StateKey::Agency(agency.uscc), count)?;
    }
    Ok(())
}
