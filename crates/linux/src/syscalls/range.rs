//! Work on long ranges of memory: cut into pieces, between which the host may have the machine stop.

use pentimento_memory::PAGE_SIZE;

use crate::errno::Errno;
use crate::kernel::Call;
use crate::space::Area;
use crate::wait::Failure;
use crate::work::BETWEEN_LOOKS;

/// Bytes of a piece: as many pages, and at most as many areas, as there are steps between two looks.
const PIECE: u32 = BETWEEN_LOOKS as u32 * PAGE_SIZE;

/// What a page of a range takes, in steps.
#[derive(Clone, Copy)]
pub(super) enum PageWork {
    /// Its entry is changed, or it is given up.
    Entry = 1,
    /// Its content is moved.
    Content = 4,
}

/// One past the end of the piece that begins at `start`, in a range that ends at `end`.
fn piece_end(start: u32, end: u32, work: PageWork) -> u32 {
    let piece = PIECE / work as u32;
    (start / piece).saturating_add(1).checked_mul(piece).map_or(end, |stop| stop.min(end))
}

impl Call<'_> {
    /// Does `action` to each piece of `[start, end)`, from the lowest on. A call that is paused goes on
    /// behind the pieces that are done: `first` of its bytes of progress belong to what it did before.
    ///
    /// # Errors
    /// What `action` says, and [`Failure::Pause`].
    pub(super) fn in_pieces(
        &mut self,
        (start, end): (u32, u32),
        first: u32,
        work: PageWork,
        mut action: impl FnMut(&mut Self, u32, u32) -> Result<(), Errno>,
    ) -> Result<(), Failure> {
        let done = self.pending()?.progress.saturating_sub(first);
        let mut at = start.saturating_add(done);
        while at < end {
            let stop = piece_end(at, end, work);
            let steps = (stop - at).div_ceil(PAGE_SIZE) * work as u32;
            if let Err(pause) = self.kernel.fs.work.spend(steps.into()) {
                self.pending()?.progress = first + (at - start);
                return Err(pause);
            }
            action(self, at, stop)?;
            at = stop;
        }
        let pending = self.pending()?;
        pending.progress = pending.progress.max(first + end.saturating_sub(start));
        Ok(())
    }

    /// Unmaps whatever lies in `[start, end)`.
    ///
    /// # Errors
    /// EINVAL if the range is none, and [`Failure::Pause`].
    pub(super) fn unmap_range(&mut self, start: u32, end: u32) -> Result<(), Failure> {
        self.in_pieces((start, end), 0, PageWork::Entry, |call, start, end| {
            call.space().unmap(start, end - start)
        })
    }

    /// Whether all of `[start, end)` is mapped.
    ///
    /// # Errors
    /// [`Failure::Pause`].
    pub(super) fn is_mapped(&mut self, start: u32, end: u32) -> Result<bool, Failure> {
        let mut at = start;
        while at < end {
            let stop = piece_end(at, end, PageWork::Entry);
            let areas = &self.space().areas;
            if areas.at(at).is_some_and(|(_, area)| area.end >= end) {
                return Ok(true);
            }
            if areas.mapped_within(at, stop) < u64::from(stop - at) {
                return Ok(false);
            }
            self.kernel.fs.work.spend(((stop - at) / PAGE_SIZE).into())?;
            at = stop;
        }
        Ok(true)
    }

    /// Does `action` to each area in `[start, end)`, cut at the range's and its pieces' ends.
    ///
    /// # Errors
    /// What `action` says, and [`Failure::Pause`].
    pub(super) fn for_areas(
        &mut self,
        (start, end): (u32, u32),
        mut action: impl FnMut(&mut Self, u32, u32, &Area) -> Result<(), Errno>,
    ) -> Result<(), Failure> {
        self.in_pieces((start, end), 0, PageWork::Entry, |call, start, end| {
            let areas = call.space().areas.overlapping(start, end);
            let areas: Vec<(u32, Area)> =
                areas.map(|(first, area)| (first, area.starting_at(first, first.max(start)))).collect();
            for (first, area) in areas {
                action(call, first.max(start), area.end.min(end), &area)?;
            }
            Ok(())
        })
    }
}
