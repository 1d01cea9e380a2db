//! Processes, threads and signals, as the manual pages describe them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

mod guest;

use guest::{DATA, Guest};
use pentimento_linux::{Config, Errno, Limits, Next, TaskId, Termination};
use pentimento_registers::Gpr;

const EXIT: u32 = 1;
const FORK: u32 = 2;
const READ: u32 = 3;
const PAUSE: u32 = 29;
const GETPID: u32 = 20;
const ALARM: u32 = 27;
const KILL: u32 = 37;
const PIPE: u32 = 42;
const WAIT4: u32 = 114;
const CLONE: u32 = 120;
const MPROTECT: u32 = 125;
const NANOSLEEP: u32 = 162;
const RT_SIGRETURN: u32 = 173;
const RT_SIGACTION: u32 = 174;
const RT_SIGPROCMASK: u32 = 175;
const RT_SIGSUSPEND: u32 = 179;
const VFORK: u32 = 190;
const GETTID: u32 = 224;
const FUTEX: u32 = 240;
const SET_THREAD_AREA: u32 = 243;
const EXIT_GROUP: u32 = 252;
const CLOCK_GETTIME: u32 = 265;
const TGKILL: u32 = 270;

const SIGKILL: u32 = 9;
const SIGUSR1: u32 = 10;
const SIGSEGV: u32 = 11;
const SIGTERM: u32 = 15;
const SIGCHLD: u32 = 17;
const SIGCONT: u32 = 18;
const SIGSTOP: u32 = 19;

const SA_SIGINFO: u32 = 4;
const SA_RESTART: u32 = 0x1000_0000;

/// Where handlers are said to be; no code runs there.
const HANDLER: u32 = 0x0804_8060;

impl Guest {
    fn fork(&mut self, task: TaskId) -> TaskId {
        let number = self.call(task, FORK, &[]).unwrap();
        self.kernel.retire(task, u64::MAX / 4);
        let child = self.running();
        assert_eq!(child.number(), number);
        assert_eq!(self.result(child), Ok(0), "fork returns 0 in the child");
        child
    }

    fn handle(&mut self, task: TaskId, signal: u32, flags: u32) {
        self.poke(task, DATA, &[HANDLER, flags, 0, 0, 0]);
        assert_eq!(self.call(task, RT_SIGACTION, &[signal, DATA, 0, 8]), Ok(0));
    }

    fn eip(&mut self, task: TaskId) -> u32 {
        self.kernel.parts(task).unwrap().cpu.eip
    }

    fn monotonic(&mut self, task: TaskId) -> u64 {
        self.call(task, CLOCK_GETTIME, &[1, DATA + 64]).unwrap();
        u64::from(self.peek(task, DATA + 64)) * 1_000_000_000 + u64::from(self.peek(task, DATA + 68))
    }
}

#[test]
fn a_child_has_its_own_memory_and_its_end_is_waited_for() {
    let mut guest = Guest::new();
    let parent = guest.running();
    guest.poke(parent, DATA, &[1]);
    let child = guest.fork(parent);
    guest.poke(child, DATA, &[2]);
    assert_eq!(guest.peek(parent, DATA), 1);
    guest.start(parent, WAIT4, &[u32::MAX, DATA + 8, 0, 0]);
    guest.start(child, EXIT, &[5]);
    guest.until(parent);
    assert_eq!(guest.result(parent), Ok(child.number()));
    assert_eq!(guest.peek(parent, DATA + 8), 5 << 8);
    assert_eq!(guest.call(parent, WAIT4, &[u32::MAX, 0, 0, 0]), Err(Errno::ECHILD));
}

#[test]
fn a_parent_that_forked_with_vfork_waits_until_the_child_leaves_its_memory() {
    let mut guest = Guest::new();
    let parent = guest.running();
    guest.start(parent, VFORK, &[]);
    let child = guest.running();
    assert_ne!(child, parent);
    guest.poke(child, DATA, &[7]);
    guest.start(child, EXIT, &[0]);
    assert_eq!(guest.running(), parent);
    assert_eq!(guest.result(parent), Ok(child.number()));
    assert_eq!(guest.peek(parent, DATA), 7, "memory was shared");
}

#[test]
fn threads_share_memory_and_have_their_own_tls() {
    let mut guest = Guest::new();
    let first = guest.running();
    guest.poke(first, DATA, &[12, 0xdead_0000, 0xf_ffff, 0x51]);
    let flags = 0x3d_0f00;
    let number = guest.call(first, CLONE, &[flags, DATA + 0x800, DATA + 32, DATA, DATA + 36]).unwrap();
    assert_eq!(guest.peek(first, DATA + 32), number, "CLONE_PARENT_SETTID");
    guest.kernel.retire(first, u64::MAX / 4);
    let second = guest.running();
    assert_eq!(guest.register(second, Gpr::Esp), DATA + 0x800);
    assert_eq!(guest.call(second, GETTID, &[]), Ok(number));
    assert_eq!(guest.call(second, GETPID, &[]), Ok(first.number()));
    let base = |guest: &mut Guest, task| {
        let parts = guest.kernel.parts(task).unwrap();
        parts.descriptors.get(12 << 3 | 3, 0).map(|descriptor| descriptor.base)
    };
    assert_eq!(base(&mut guest, second), Some(0xdead_0000));
    assert_eq!(base(&mut guest, first), None);
    guest.poke(first, DATA, &[u32::MAX, 0x1234_0000, 0xf_ffff, 0x51]);
    assert_eq!(guest.call(first, SET_THREAD_AREA, &[DATA]), Ok(0));
    assert_eq!(guest.peek(first, DATA), 12, "the entry that was free");
    assert_eq!(base(&mut guest, first), Some(0x1234_0000));
    // The end of a thread clears the word that CLONE_CHILD_CLEARTID named, and wakes who waits for it.
    guest.poke(first, DATA + 36, &[number]);
    guest.start(first, FUTEX, &[DATA + 36, 0, number, 0]);
    guest.start(second, EXIT, &[0]);
    guest.until(first);
    assert_eq!((guest.result(first), guest.peek(first, DATA + 36)), (Ok(0), 0));
}

#[test]
fn how_processes_die_is_reported() {
    type Case = (&'static str, fn(&mut Guest, TaskId), Termination);
    let cases: [Case; 4] = [
        ("exit", |guest, task| guest.start(task, EXIT_GROUP, &[0x1ff]), Termination::Exited(255)),
        (
            "SIGTERM",
            |guest, task| guest.start(task, KILL, &[task.number(), SIGTERM]),
            Termination::Killed(15),
        ),
        (
            "SIGKILL",
            |guest, task| guest.start(task, TGKILL, &[task.number(), task.number(), SIGKILL]),
            Termination::Killed(9),
        ),
        ("a wild write", |guest, task| guest.page_fault(task, 16), Termination::Killed(11)),
    ];
    for (name, action, expected) in cases {
        let mut guest = Guest::new();
        let task = guest.running();
        action(&mut guest, task);
        assert_eq!(guest.kernel.schedule(), Next::Finished(expected), "{name}");
    }
}

#[test]
fn a_handler_gets_its_frame_and_returns_to_where_it_was() {
    let mut guest = Guest::new();
    let task = guest.running();
    guest.handle(task, SIGUSR1, SA_SIGINFO);
    let (eip, stack) = (guest.eip(task), guest.register(task, Gpr::Esp));
    guest.kernel.parts(task).unwrap().cpu.set_gpr(Gpr::Edi, 0x1234);
    guest.start(task, KILL, &[task.number(), SIGUSR1]);
    guest.running();
    assert_eq!(guest.eip(task), HANDLER);
    let frame = guest.register(task, Gpr::Esp);
    assert_eq!((frame + 4) % 16, 0);
    assert_eq!(guest.peek(task, frame + 4), SIGUSR1);
    assert_eq!(guest.peek(task, frame + 8), frame + 16, "siginfo_t");
    assert_eq!(guest.peek(task, frame + 12), frame + 144, "ucontext_t");
    assert_eq!(guest.peek(task, frame + 16 + 12), task.number(), "si_pid");
    // The handler sees SIGUSR1 blocked, and returns through the stub.
    guest.call(task, RT_SIGPROCMASK, &[0, 0, DATA + 32, 8]).unwrap();
    assert_eq!(guest.peek(task, DATA + 32), 1 << (SIGUSR1 - 1));
    guest.kernel.parts(task).unwrap().cpu.set_gpr(Gpr::Esp, frame + 4);
    guest.start(task, RT_SIGRETURN, &[]);
    guest.running();
    assert_eq!((guest.eip(task), guest.register(task, Gpr::Esp)), (eip, stack));
    assert_eq!(guest.result(task), Ok(0), "what kill returned");
    guest.call(task, RT_SIGPROCMASK, &[0, 0, DATA + 32, 8]).unwrap();
    assert_eq!(guest.peek(task, DATA + 32), 0);
}

#[test]
fn signals_end_or_restart_calls_that_wait() {
    // (flags, whether read(2) starts again)
    for (flags, restarts) in [(0, false), (SA_RESTART, true)] {
        let mut guest = Guest::new();
        let parent = guest.running();
        guest.handle(parent, SIGUSR1, flags);
        guest.call(parent, PIPE, &[DATA + 32]).unwrap();
        let reader = guest.peek(parent, DATA + 32);
        let child = guest.fork(parent);
        let eip = guest.eip(parent);
        guest.start(parent, READ, &[reader, DATA + 64, 1]);
        guest.call(child, KILL, &[parent.number(), SIGUSR1]).unwrap();
        guest.start(child, PAUSE, &[]);
        guest.until(parent);
        assert_eq!(guest.eip(parent), HANDLER);
        // What the frame will restore: EIP and EAX in the context behind two words.
        let context = guest.register(parent, Gpr::Esp) + 8;
        let saved = (guest.peek(parent, context + 56), guest.peek(parent, context + 44));
        let interrupted = (eip, Errno::EINTR.to_register());
        assert_eq!(saved, if restarts { (eip.wrapping_sub(2), READ) } else { interrupted });
    }
}

#[test]
fn sigsuspend_waits_with_its_own_mask_and_gives_the_old_one_back() {
    let mut guest = Guest::new();
    let task = guest.running();
    guest.handle(task, SIGUSR1, 0);
    guest.poke(task, DATA + 32, &[1 << (SIGUSR1 - 1), 0, 0, 0]);
    guest.call(task, RT_SIGPROCMASK, &[2, DATA + 32, 0, 8]).unwrap();
    guest.call(task, KILL, &[task.number(), SIGUSR1]).unwrap();
    assert_eq!(guest.running(), task, "blocked, so nothing happens");
    guest.start(task, RT_SIGSUSPEND, &[DATA + 40, 8]);
    guest.running();
    assert_eq!(guest.eip(task), HANDLER);
    let context = guest.register(task, Gpr::Esp) + 8;
    assert_eq!(guest.peek(task, context + 44), Errno::EINTR.to_register());
    assert_eq!(guest.peek(task, context + 80), 1 << (SIGUSR1 - 1), "the mask that the frame restores");
}

#[test]
fn a_blocked_or_ignored_fault_kills() {
    for ignored in [false, true] {
        let mut guest = Guest::new();
        let task = guest.running();
        guest.poke(task, DATA, &[u32::from(ignored), 0, 0, 0, 0]);
        guest.call(task, RT_SIGACTION, &[SIGSEGV, DATA, 0, 8]).unwrap();
        guest.poke(task, DATA, &[1 << (SIGSEGV - 1), 0]);
        guest.call(task, RT_SIGPROCMASK, &[0, DATA, 0, 8]).unwrap();
        guest.page_fault(task, 16);
        assert_eq!(guest.kernel.schedule(), Next::Finished(Termination::Killed(11)));
    }
}

#[test]
fn a_stopped_child_waits_for_sigcont() {
    let mut guest = Guest::new();
    let parent = guest.running();
    let child = guest.fork(parent);
    guest.call(parent, KILL, &[child.number(), SIGSTOP]).unwrap();
    const WUNTRACED_WCONTINUED: u32 = 2 | 8;
    guest.start(parent, WAIT4, &[u32::MAX, DATA, WUNTRACED_WCONTINUED, 0]);
    guest.until(parent);
    assert_eq!((guest.result(parent), guest.peek(parent, DATA)), (Ok(child.number()), SIGSTOP << 8 | 0x7f));
    for _ in 0..10 {
        assert_eq!(guest.running(), parent, "the child does not run");
        guest.kernel.retire(parent, u64::MAX / 4);
    }
    guest.call(parent, KILL, &[child.number(), SIGCONT]).unwrap();
    assert_eq!(guest.call(parent, WAIT4, &[u32::MAX, DATA, WUNTRACED_WCONTINUED, 0]), Ok(child.number()));
    assert_eq!(guest.peek(parent, DATA), 0xffff);
    guest.until(child);
}

#[test]
fn children_whose_parent_ignores_sigchld_leave_nothing() {
    let mut guest = Guest::new();
    let parent = guest.running();
    guest.poke(parent, DATA, &[1, 0, 0, 0, 0]);
    guest.call(parent, RT_SIGACTION, &[SIGCHLD, DATA, 0, 8]).unwrap();
    let child = guest.fork(parent);
    guest.start(child, EXIT, &[0]);
    guest.until(parent);
    assert_eq!(guest.call(parent, WAIT4, &[u32::MAX, 0, 0, 0]), Err(Errno::ECHILD));
}

#[test]
fn virtual_time_passes_while_everybody_sleeps() {
    let mut guest = Guest::new();
    let task = guest.running();
    let before = guest.monotonic(task);
    guest.poke(task, DATA, &[5, 500]);
    guest.start(task, NANOSLEEP, &[DATA, 0]);
    guest.until(task);
    assert_eq!(guest.result(task), Ok(0));
    assert_eq!(guest.monotonic(task) - before, 5_000_000_500);
    guest.handle(task, 14, 0);
    guest.call(task, ALARM, &[3]).unwrap();
    guest.start(task, PAUSE, &[]);
    guest.until(task);
    assert_eq!(guest.eip(task), HANDLER);
    assert_eq!(guest.monotonic(task) - before, 8_000_000_500);
}

#[test]
fn futex_wakes_are_counted_and_first_come_first_served() {
    let mut guest = Guest::new();
    let first = guest.running();
    let mut waiters = Vec::new();
    for _ in 0..3 {
        let number = guest.call(first, CLONE, &[0x1_0f00, DATA + 0x800, 0, 0, 0]).unwrap();
        guest.kernel.retire(first, u64::MAX / 4);
        let task = guest.running();
        assert_eq!(task.number(), number);
        guest.start(task, FUTEX, &[DATA, 0x80, 0, 0]);
        waiters.push(task);
        guest.until(first);
    }
    assert_eq!(guest.call(first, FUTEX, &[DATA, 0x80, 1, 0]), Err(Errno::EAGAIN), "the word is not 1");
    assert_eq!(guest.call(first, FUTEX, &[DATA, 0x81, 2, 0]), Ok(2));
    guest.start(first, PAUSE, &[]);
    assert_eq!(guest.running(), waiters[0]);
    guest.start(waiters[0], PAUSE, &[]);
    assert_eq!(guest.running(), waiters[1]);
    guest.start(waiters[1], PAUSE, &[]);
    assert_eq!(guest.kernel.schedule(), Next::Deadlock, "the third waits for ever");
}

#[test]
fn limits_give_the_errors_of_linux() {
    let limits = pentimento_linux::Limits { memory: 1 << 20, processes: 2, ..Default::default() };
    let mut guest = Guest::with(Config { limits, ..Config::default() });
    let parent = guest.running();
    let map = [0, 4 << 20, 3, 0x22, u32::MAX, 0];
    assert_eq!(guest.call(parent, 192, &map), Err(Errno::ENOMEM));
    assert_eq!(
        guest.call(parent, MPROTECT, &[DATA + 0x1000, 0x1000, 1]),
        Err(Errno::ENOMEM),
        "nothing there"
    );
    guest.fork(parent);
    assert_eq!(guest.call(parent, FORK, &[]), Err(Errno::EAGAIN));
}

#[test]
fn nice_values_are_inherited_and_clamped() {
    const NICE: u32 = 34;
    const GETPRIORITY: u32 = 96;
    const SETPRIORITY: u32 = 97;
    const SETUID: u32 = 23;
    const PRIO_PROCESS: u32 = 0;
    const PRIO_PGRP: u32 = 1;
    let mut guest = Guest::with(Config::default());
    let parent = guest.running();
    assert_eq!(guest.call(parent, NICE, &[5]), Ok(0));
    let child = guest.fork(parent);
    assert_eq!(guest.call(child, GETPRIORITY, &[PRIO_PROCESS, 0]), Ok(15), "20 minus the nice value");
    assert_eq!(guest.call(child, SETPRIORITY, &[PRIO_PROCESS, 0, 100]), Ok(0));
    assert_eq!(guest.call(child, GETPRIORITY, &[PRIO_PROCESS, 0]), Ok(1), "19 is the most");
    assert_eq!(guest.call(child, GETPRIORITY, &[PRIO_PGRP, 0]), Ok(15), "the least of the group's");
    assert_eq!(guest.call(child, GETPRIORITY, &[3, 0]), Err(Errno::EINVAL));
    assert_eq!(guest.call(child, GETPRIORITY, &[PRIO_PROCESS, 77_777]), Err(Errno::ESRCH));
    assert_eq!(guest.call(child, NICE, &[-9_i32 as u32]), Ok(0), "root may go back");
    assert_eq!(guest.call(child, SETUID, &[1000]), Ok(0));
    assert_eq!(guest.call(child, NICE, &[-1_i32 as u32]), Err(Errno::EPERM));
    assert_eq!(guest.call(child, SETPRIORITY, &[PRIO_PROCESS, 0, 0]), Err(Errno::EACCES));
}

#[test]
fn the_seed_decides_the_interleaving() {
    // Two processes that only run; the order and lengths of their turns are the trace.
    let trace = |seed: u64| {
        let mut guest = Guest::with(Config { seed, ..Config::default() });
        let task = guest.running();
        guest.call(task, FORK, &[]).unwrap();
        let mut turns = Vec::new();
        for _ in 0..50 {
            let Next::Run { task, quantum, .. } = guest.kernel.schedule() else {
                panic!("they run for ever")
            };
            turns.push((task, quantum));
            guest.kernel.retire(task, quantum);
        }
        turns
    };
    assert_eq!(trace(1), trace(1));
    assert_ne!(trace(1), trace(2));
}

#[test]
fn a_program_writes_to_the_console_and_bad_pointers_are_errors() {
    let mut guest = Guest::new();
    let task = guest.running();
    assert_eq!(guest.call(task, 4, &[1, guest::BASE + 84, 6]), Ok(6));
    assert_eq!(guest.call(task, 4, &[1, 4, 6]), Err(Errno::EFAULT));
    assert_eq!(guest.output.bytes(), b"hello\n");
}

#[test]
fn the_first_stack_holds_arguments_and_environment() {
    let mut kernel = pentimento_linux::Kernel::new(Config::default());
    kernel.spawn_image(b"/args", &guest::program(&[0xcc]), &[b"args", b"one"], &[b"K=V"]).unwrap();
    let Next::Run { task, .. } = kernel.schedule() else { panic!("the program runs") };
    let parts = kernel.parts(task).unwrap();
    let stack = parts.cpu.gpr(Gpr::Esp);
    let word = |index: u32| parts.memory.read::<u32>(stack + 4 * index).unwrap();
    assert_eq!(stack % 16, 0);
    assert_eq!((word(0), word(3), word(5)), (2, 0, 0));
    for (index, text) in [(1, &b"args\0"[..]), (2, b"one\0"), (4, b"K=V\0")] {
        let mut bytes = vec![0; text.len()];
        parts.memory.read_bytes(word(index), &mut bytes).unwrap();
        assert_eq!(bytes, text);
    }
}

#[test]
fn timers_that_wake_nobody_do_not_hide_a_deadlock() {
    const SETITIMER: u32 = 104;
    const SIGALRM: u32 = 14;
    const SIG_IGN: u32 = 1;
    for blocked in [true, false] {
        let mut guest = Guest::new();
        let task = guest.running();
        if blocked {
            guest.poke(task, DATA, &[1 << (SIGALRM - 1), 0]);
            guest.call(task, RT_SIGPROCMASK, &[0, DATA, 0, 8]).unwrap();
        } else {
            guest.poke(task, DATA, &[SIG_IGN, 0, 0, 0, 0]);
            guest.call(task, RT_SIGACTION, &[SIGALRM, DATA, 0, 8]).unwrap();
        }
        guest.poke(task, DATA, &[0, 1, 0, 1]);
        guest.call(task, SETITIMER, &[0, DATA, 0]).unwrap();
        guest.start(task, PAUSE, &[]);
        assert_eq!(guest.kernel.schedule(), Next::Deadlock, "blocked: {blocked}");
    }
}

#[test]
fn a_timer_queues_one_signal_and_counts_the_rest() {
    const SIGRTMIN: u32 = 34;
    const TIMER_CREATE: u32 = 259;
    const TIMER_SETTIME: u32 = 260;
    const TIMER_GETOVERRUN: u32 = 262;
    let mut guest = Guest::new();
    let task = guest.running();
    guest.poke(task, DATA, &[0, 1 << (SIGRTMIN - 33)]);
    guest.call(task, RT_SIGPROCMASK, &[0, DATA, 0, 8]).unwrap();
    guest.poke(task, DATA, &[0, SIGRTMIN, 0, 0]);
    guest.call(task, TIMER_CREATE, &[1, DATA, DATA + 32]).unwrap();
    guest.poke(task, DATA, &[0, 1000, 0, 1000]);
    guest.call(task, TIMER_SETTIME, &[0, 0, DATA, 0]).unwrap();
    for _ in 0..10 {
        guest.kernel.retire(task, 10_000);
        guest.running();
    }
    guest.poke(task, DATA, &[0, 1 << (SIGRTMIN - 33), 0, 0]);
    const RT_SIGTIMEDWAIT: u32 = 177;
    assert_eq!(guest.call(task, RT_SIGTIMEDWAIT, &[DATA, 0, DATA + 8, 8]), Ok(SIGRTMIN));
    assert_eq!(guest.call(task, TIMER_GETOVERRUN, &[0]), Ok(99), "100,000 ns of 1,000 each, one told");
    assert_eq!(guest.call(task, RT_SIGTIMEDWAIT, &[DATA, 0, DATA + 8, 8]), Err(Errno::EAGAIN));
}

#[test]
fn queued_signals_are_bounded() {
    const SIGRTMIN: u32 = 34;
    const RT_SIGTIMEDWAIT: u32 = 177;
    let limits = Limits { tasks: 100, ..Limits::default() };
    let mut guest = Guest::with(Config { limits, ..Config::default() });
    let task = guest.running();
    guest.poke(task, DATA, &[0, 1 << (SIGRTMIN - 33), 0, 0]);
    guest.call(task, RT_SIGPROCMASK, &[0, DATA, 0, 8]).unwrap();
    for _ in 0..1000 {
        assert_eq!(guest.call(task, KILL, &[task.number(), SIGRTMIN]), Ok(0));
    }
    let mut taken = 0;
    while guest.call(task, RT_SIGTIMEDWAIT, &[DATA, 0, DATA + 8, 8]) == Ok(SIGRTMIN) {
        taken += 1;
    }
    assert_eq!(taken, 100, "RLIMIT_SIGPENDING");
}
