//! What `/proc/sysvipc` says (sysvipc(7)).

use std::fmt::Write as _;

use super::processes::Processes;

/// `shm`
pub(super) fn segments(view: &Processes<'_>) -> String {
    let mut text = String::from(
        "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ctime                   rss                  swap\n",
    );
    for (id, segment) in view.ipc.segments.iter() {
        let held = &segment.permissions;
        let attached = segment.attachments;
        let _ = writeln!(
            text,
            "{:10} {id:10}  {:4o} {:21} {:5} {:5}  {attached:5} {:5} {:5} {:5} {:5} {:10} {:10} {:10} {:21} {:21}",
            held.key as i32,
            held.mode,
            segment.size,
            segment.creator,
            segment.last,
            held.uid,
            held.gid,
            held.creator_uid,
            held.creator_gid,
            segment.attached,
            segment.detached,
            segment.changed,
            segment.size,
            0,
        );
    }
    text
}

/// `sem`
pub(super) fn semaphores(view: &Processes<'_>) -> String {
    let mut text = String::from(
        "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n",
    );
    for (id, set) in view.ipc.semaphores.iter() {
        let held = &set.permissions;
        let _ = writeln!(
            text,
            "{:10} {id:10}  {:4o} {:10} {:5} {:5} {:5} {:5} {:10} {:10}",
            held.key as i32,
            held.mode,
            set.semaphores.len(),
            held.uid,
            held.gid,
            held.creator_uid,
            held.creator_gid,
            set.operated,
            set.changed,
        );
    }
    text
}

/// `msg`
pub(super) fn queues(view: &Processes<'_>) -> String {
    let mut text = String::from(
        "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      stime      rtime      ctime\n",
    );
    for (id, queue) in view.ipc.queues.iter() {
        let held = &queue.permissions;
        let _ = writeln!(
            text,
            "{:10} {id:10}  {:4o}  {:10} {:10} {:5} {:5} {:5} {:5} {:5} {:5} {:10} {:10} {:10}",
            held.key as i32,
            held.mode,
            queue.held,
            queue.messages.len(),
            queue.last_sender,
            queue.last_receiver,
            held.uid,
            held.gid,
            held.creator_uid,
            held.creator_gid,
            queue.sent,
            queue.received,
            queue.changed,
        );
    }
    text
}
