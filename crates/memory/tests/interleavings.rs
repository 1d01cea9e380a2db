//! Threads that share frames and objects, in every order of events that the memory model allows.
//!
//! The source is the crate's own `sharing`, over loom's atomics; loom fails a run in which two threads
//! reach an [`UnsafeCell`] at once, or one reads what has not been published to it.

/// What `sharing` is made of here.
mod atomic {
    pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
}

#[path = "../src/sharing.rs"]
mod sharing;

use atomic::AtomicU32;
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use sharing::{Holder, Taken, is_unique, release, retain};

/// A shared object: its holder, and what only the holder may reach.
struct Object {
    holder: Holder,
    state: UnsafeCell<u32>,
}

impl Object {
    fn new() -> Arc<Self> {
        Arc::new(Self { holder: Holder::nobody(), state: UnsafeCell::new(0) })
    }

    /// Stores for the address space `id`, if it gets the object, and says how it got it.
    fn store_for(&self, id: u64) -> Option<Taken> {
        let taken = self.holder.take_for(id)?;
        self.state.with_mut(touch);
        self.holder.release_from(id);
        Some(taken)
    }

    /// Stores through a handle, if the object is free.
    fn store_by_handle(&self) -> bool {
        let taken = self.holder.take_for_call();
        if taken {
            self.state.with_mut(touch);
            self.holder.forget_last();
            self.holder.end_call();
        }
        taken
    }
}

/// An access; that it happens is what loom checks.
fn touch<T>(_: *mut T) {}

#[test]
fn two_spaces_and_a_handle_are_never_at_an_object_at_once() {
    loom::model(|| {
        let object = Object::new();
        let (first, second) = (object.clone(), object.clone());
        let first = thread::spawn(move || first.store_for(20));
        let second = thread::spawn(move || second.store_for(21));
        let by_handle = object.store_by_handle();
        let (first, second) = (first.join().expect("loom"), second.join().expect("loom"));
        assert!(by_handle || first.is_some() || second.is_some(), "somebody comes first");
        for taken in [first, second].into_iter().flatten() {
            assert_eq!(taken, Taken::Now, "nobody has held it twice");
        }
    });
}

#[test]
fn who_takes_an_object_again_knows_whether_others_had_it() {
    loom::model(|| {
        let object = Object::new();
        let other = object.clone();
        assert_eq!(object.store_for(20), Some(Taken::Now));
        let other = thread::spawn(move || other.store_for(21));
        let again = object.store_for(20);
        let other_had_it = other.join().expect("loom").is_some();
        match again {
            Some(Taken::Again) => {}
            Some(Taken::Now) => assert!(other_had_it, "nobody else had it"),
            Some(Taken::Before) => unreachable!("it was given back"),
            None => assert!(other_had_it, "nobody else held it"),
        }
        assert!(object.store_for(20) == Some(Taken::Again) || other_had_it, "nobody else had it");
    });
}

#[test]
fn a_frame_is_written_by_its_only_holder_after_all_others_have_read() {
    loom::model(|| {
        let frame = Arc::new((AtomicU32::new(1), UnsafeCell::new(0_u32)));
        retain(&frame.0);
        let other = frame.clone();
        // A fork's child, which reads, may find itself alone and write, and ends.
        let child = thread::spawn(move || {
            let (references, bytes) = &*other;
            bytes.with(|_| {});
            if is_unique(references) {
                bytes.with_mut(touch);
            }
            if release(references) {
                bytes.with_mut(touch);
            }
        });
        let (references, bytes) = &*frame;
        bytes.with(|_| {});
        if is_unique(references) {
            bytes.with_mut(touch);
        }
        // The last one gives the frame to whoever wants one next, who writes.
        if release(references) {
            bytes.with_mut(touch);
        }
        child.join().expect("loom");
    });
}
