//! Mappings that move: mremap(2), remap_file_pages(2).

use super::memory::{aligned, charge_mapping, find_gap, lowest_address, whole_pages};
use super::range::PageWork;
use crate::errno::Errno;
use crate::kernel::{Arguments, Call};
use crate::space::{Area, AreaSource, Space, TASK_SIZE, page_align};
use crate::wait::CallResult;

const MREMAP_MAYMOVE: u32 = 1;
const MREMAP_FIXED: u32 = 2;
const MREMAP_DONTUNMAP: u32 = 4;

/// mremap(2).
pub(super) fn mremap(
    call: &mut Call<'_>,
    [old, old_length, new_length, flags, new, ..]: Arguments,
) -> CallResult {
    let (fixed, stays) = (flags & MREMAP_FIXED != 0, flags & MREMAP_DONTUNMAP != 0);
    let known = flags & !(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP) == 0;
    if !known || (fixed || stays) && flags & MREMAP_MAYMOVE == 0 {
        return Err(Errno::EINVAL.into());
    }
    aligned(old)?;
    let new_length = whole_pages(new_length, Errno::EINVAL)?;
    charge_mapping(call, new_length, false)?;
    let old_length = page_align(old_length).ok_or(Errno::EINVAL)?;
    if stays && old_length != new_length {
        return Err(Errno::EINVAL.into());
    }
    if let Some(target) = call.pending()?.place {
        return finish_move(call, (old, old_length), (target, new_length), flags);
    }
    let lowest = lowest_address(call);
    let (first, area) = call.space().areas.at(old).ok_or(Errno::EFAULT)?;
    let area = area.starting_at(first, old);
    // Without a length it is the old way of mapping shared memory a second time.
    let again = old_length == 0;
    if again && (!area.shared || flags & MREMAP_MAYMOVE == 0) {
        return Err(Errno::EINVAL.into());
    }
    let old_end = old.checked_add(old_length).filter(|end| *end <= area.end).ok_or(Errno::EFAULT)?;
    call.check_new_locks(new_length.saturating_sub(old_length), area.locked)?;
    if fixed {
        aligned(new)?;
        let new_end = new.checked_add(new_length).filter(|end| *end <= TASK_SIZE).ok_or(Errno::EINVAL)?;
        if new < old_end && old < new_end {
            return Err(Errno::EINVAL.into());
        }
        if new < lowest {
            return Err(Errno::EPERM.into());
        }
        call.unmap_range(new, new_end)?;
    } else if new_length <= old_length && !stays {
        call.unmap_range(old + new_length, old_end)?;
        return Ok(old);
    } else if !stays
        && !again
        && old_end == area.end
        && grow_in_place(call.space(), old_end, new_length - old_length, &area)?
    {
        return Ok(old);
    } else if flags & MREMAP_MAYMOVE == 0 {
        return Err(Errno::ENOMEM.into());
    }
    let target = if fixed { new } else { find_gap(call.space(), new_length, lowest)? };
    map_target(call, (target, new_length), old_length, area)?;
    call.pending()?.place = Some(target);
    finish_move(call, (old, old_length), (target, new_length), flags)
}

/// Maps what `old_length` bytes of an area are moved to. Beyond them the area goes on.
fn map_target(
    call: &mut Call<'_>,
    (target, length): (u32, u32),
    old_length: u32,
    area: Area,
) -> Result<(), Errno> {
    let is_copy = matches!(area.backing, AreaSource::File { .. }) && !area.shared && area.source.is_none();
    if !is_copy || length <= old_length {
        return call.space().map(target, length, area);
    }
    let more = area.starting_at(target, target + old_length);
    call.space().map(target, old_length, area)?;
    call.map_private(target + old_length, length - old_length, more)
}

/// Moves pages to `target`, which is mapped for them.
fn finish_move(
    call: &mut Call<'_>,
    (old, old_length): (u32, u32),
    (target, new_length): (u32, u32),
    flags: u32,
) -> CallResult {
    let first = if flags & MREMAP_FIXED != 0 { new_length } else { 0 };
    let end = old.saturating_add(old_length);
    call.in_pieces((old, end), first, PageWork::Content, |call, start, stop| {
        let moved = start - old..(stop - old).min(new_length);
        if !moved.is_empty() {
            call.space().move_pages(start, target + moved.start, moved.end - moved.start)?;
        }
        if flags & MREMAP_DONTUNMAP == 0 {
            return call.space().unmap(start, stop - start);
        }
        let Some((first, area)) = call.space().areas.at(start) else { return Ok(()) };
        let area = Area { locked: false, ..area.starting_at(first, start) };
        call.space().areas.change(start, stop, |area| area.locked = false);
        call.discard_pages(start, stop, &area)
    })?;
    Ok(target)
}

/// Extends an area at its end if there is room; says whether.
fn grow_in_place(space: &mut Space, end: u32, more: u32, area: &Area) -> Result<bool, Errno> {
    let room = end.checked_add(more).filter(|new_end| *new_end <= TASK_SIZE);
    let Some(new_end) = room else { return Ok(false) };
    let anonymous = matches!(area.backing, AreaSource::Anonymous | AreaSource::Heap) && !area.shared;
    if !anonymous || space.areas.overlapping(end, new_end).next().is_some() {
        return Ok(false);
    }
    space.map(end, more, area.clone())?;
    Ok(true)
}

/// remap_file_pages(2): a shared mapping shows another part of its file, as Linux does it since it has no
/// mappings out of order any more: by a mapping of its own.
pub(super) fn remap_file_pages(
    call: &mut Call<'_>,
    [start, length, protection, page, ..]: Arguments,
) -> CallResult {
    const PAGE_SHIFT: u32 = 12;
    let start = start >> PAGE_SHIFT << PAGE_SHIFT;
    let length = length >> PAGE_SHIFT << PAGE_SHIFT;
    let end = start.checked_add(length).ok_or(Errno::EINVAL)?;
    if protection != 0 || length == 0 {
        return Err(Errno::EINVAL.into());
    }
    charge_mapping(call, length, false)?;
    let space = call.space();
    let (_, area) = space.areas.at(start).filter(|(_, area)| area.shared).ok_or(Errno::EINVAL)?;
    let mut area = area.clone();
    // What follows may have been cut off before, as long as it is of the same file.
    let alike = |other: &Area| match (area.backing, other.backing) {
        (AreaSource::File { node, .. }, AreaSource::File { node: other, .. }) => node == other,
        (AreaSource::Shared { object, .. }, AreaSource::Shared { object: other, .. }) => object == other,
        _ => false,
    };
    let whole = space.areas.mapped_within(start, end) == u64::from(length);
    if !whole || !space.areas.overlapping(start, end).all(|(_, other)| alike(other)) {
        return Err(Errno::EINVAL.into());
    }
    match &mut area.backing {
        AreaSource::File { offset, .. } | AreaSource::Shared { offset, .. } => {
            *offset = u64::from(page) << PAGE_SHIFT;
        }
        _ => return Err(Errno::EINVAL.into()),
    }
    space.map(start, length, area)?;
    Ok(0)
}
