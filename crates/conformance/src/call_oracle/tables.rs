//! What the oracle knows of single calls: which belong together, which it leaves out and why, and what of
//! their results no two kernels have in common.

/// Calls that work on what others of them have made.
#[rustfmt::skip]
pub(super) const FAMILIES: &[&[&str]] = &[
    // Descriptors and what is in files.
    &["open", "openat", "creat", "close", "read", "write", "lseek", "_llseek", "pread64", "pwrite64", "readv", "writev",
      "preadv", "pwritev", "preadv2", "pwritev2", "dup", "dup2", "dup3", "fcntl", "fcntl64", "ioctl", "ftruncate", "ftruncate64",
      "truncate", "truncate64", "fstat", "fstat64", "fsync", "fdatasync", "sync_file_range", "fallocate", "fadvise64", "fadvise64_64",
      "readahead", "sendfile", "sendfile64", "copy_file_range", "close_range", "flock", "memfd_create", "syncfs"],
    // Names.
    &["open", "openat", "openat2", "creat", "mkdir", "mkdirat", "rmdir", "unlink", "unlinkat", "link", "linkat", "symlink", "symlinkat",
      "rename", "renameat", "renameat2", "readlink", "readlinkat", "mknod", "mknodat", "chmod", "fchmod", "fchmodat", "fchmodat2",
      "chown", "fchown", "lchown", "chown32", "fchown32", "lchown32", "fchownat", "access", "faccessat", "faccessat2", "stat", "lstat", "stat64",
      "lstat64", "fstatat64", "statx", "oldstat", "oldlstat", "chdir", "fchdir", "getcwd", "umask", "utime", "utimes", "futimesat", "utimensat",
      "utimensat_time64", "getdents64", "statfs", "statfs64", "fstatfs", "fstatfs64", "chroot", "close"],
    // Pipes, events and readiness.
    &["pipe", "pipe2", "read", "write", "poll", "ppoll", "select", "_newselect", "pselect6", "epoll_create", "epoll_create1", "epoll_ctl",
      "epoll_wait", "epoll_pwait", "eventfd", "eventfd2", "timerfd_create", "timerfd_settime", "timerfd_gettime", "signalfd", "signalfd4",
      "splice", "tee", "vmsplice", "dup", "close", "fcntl64", "ioctl", "readv", "writev"],
    // Memory.
    &["mmap2", "mmap", "munmap", "mprotect", "mremap", "msync", "madvise", "mincore", "mlock", "munlock", "mlock2", "brk",
      "pkey_mprotect", "pkey_alloc", "pkey_free", "process_vm_readv", "process_vm_writev"],
    // Signals.
    &["rt_sigaction", "sigaction", "signal", "rt_sigprocmask", "sigprocmask", "sgetmask", "ssetmask", "rt_sigpending", "sigpending",
      "kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "rt_sigtimedwait", "sigaltstack", "signalfd4", "read", "alarm",
      "setitimer", "getitimer"],
    // Time.
    &["clock_gettime", "clock_getres", "clock_gettime64", "clock_getres_time64", "clock_nanosleep", "clock_nanosleep_time64", "nanosleep",
      "clock_settime", "clock_settime64", "settimeofday", "stime", "gettimeofday", "timer_create", "timer_settime", "timer_gettime",
      "timer_delete", "timer_getoverrun", "timer_settime64", "timer_gettime64", "setitimer", "getitimer", "alarm", "timerfd_create",
      "timerfd_settime", "timerfd_gettime", "times", "time"],
    // Who one is.
    &["getuid", "geteuid", "getgid", "getegid", "getuid32", "geteuid32", "getgid32", "getegid32", "setuid", "setgid", "setuid32", "setgid32",
      "setreuid", "setregid", "setreuid32", "setregid32", "setresuid", "setresgid", "setresuid32", "setresgid32", "getresuid", "getresgid",
      "getresuid32", "getresgid32", "setfsuid", "setfsgid", "setfsuid32", "setfsgid32", "getgroups", "setgroups", "getgroups32", "setgroups32",
      "getpid", "getppid", "gettid", "getpgrp", "getpgid", "setpgid", "getsid", "setsid", "getpriority", "setpriority", "nice", "prctl",
      "capget", "capset", "getrlimit", "ugetrlimit", "setrlimit", "prlimit64", "sethostname", "setdomainname", "umask"],
    // Sockets.
    &["socket", "socketpair", "bind", "listen", "connect", "accept4", "getsockname", "getpeername", "getsockopt", "setsockopt", "sendto",
      "recvfrom", "shutdown", "read", "write", "poll", "close", "dup", "ioctl"],
];

/// Calls that no sequence makes, and why.
const EXCLUDED: &[(&[&str], &str)] = &[
    (
        &["exit", "exit_group", "pause", "sigsuspend", "rt_sigsuspend", "vhangup"],
        "they end the sequence, or wait for what never comes",
    ),
    (
        &["fork", "vfork", "clone", "clone3", "execve", "execveat", "ptrace", "waitpid", "wait4", "waitid"],
        "a sequence is one process, which runs no program of its own",
    ),
    (&["sigreturn", "rt_sigreturn", "restart_syscall"], "only behind what nobody but the kernel makes"),
    (
        &[
            "mount",
            "umount",
            "umount2",
            "pivot_root",
            "unshare",
            "setns",
            "open_tree",
            "move_mount",
            "fsopen",
            "fspick",
            "mount_setattr",
            "swapon",
            "swapoff",
            "reboot",
            "kexec_load",
            "init_module",
            "finit_module",
            "delete_module",
            "create_module",
            "quotactl",
            "acct",
            "syslog",
            "bpf",
            "perf_event_open",
            "userfaultfd",
            "fanotify_init",
            "iopl",
            "ioperm",
            "open_by_handle_at",
            "name_to_handle_at",
            "kcmp",
        ],
        "the host's: nothing that could reach it is tried there",
    ),
    (
        &[
            "sysinfo",
            "uname",
            "olduname",
            "oldolduname",
            "getrusage",
            "getcpu",
            "getrandom",
            "sched_getaffinity",
            "sched_setaffinity",
            "sched_getattr",
            "sched_setattr",
            "membarrier",
            "arch_prctl",
            "personality",
            "set_thread_area",
            "get_thread_area",
            "modify_ldt",
            "set_tid_address",
            "set_robust_list",
            "get_robust_list",
            "sync",
            "mlockall",
            "munlockall",
            "times",
            "time",
            "gettimeofday",
        ],
        "what they say is the host's own, or they change what the process stands on",
    ),
    (
        &[
            "pidfd_open",
            "pidfd_send_signal",
            "pidfd_getfd",
            "socketcall",
            "getdents",
            "readdir",
            "sched_getscheduler",
            "sched_setscheduler",
            "sched_getparam",
            "sched_setparam",
            "sched_rr_get_interval",
            "sched_rr_get_interval_time64",
            "ioprio_get",
            "ioprio_set",
        ],
        "not looked at yet",
    ),
    (
        &["futex", "futex_time64", "sendmsg", "recvmsg", "sendmmsg", "recvmmsg", "recvmmsg_time64"],
        "not looked at yet: their structures have no generator",
    ),
    (
        &[
            "setxattr",
            "lsetxattr",
            "fsetxattr",
            "getxattr",
            "lgetxattr",
            "fgetxattr",
            "listxattr",
            "llistxattr",
            "flistxattr",
            "removexattr",
            "lremovexattr",
            "fremovexattr",
        ],
        "the file system decides, and the native one has them or not by how the kernel was built",
    ),
];

/// Whether argument `index` of a call is a process, thread or group.
pub(super) fn names_process(name: &str, index: usize) -> bool {
    match name {
        "kill" | "tkill" | "tgkill" | "rt_sigqueueinfo" | "rt_tgsigqueueinfo" | "getpgid" | "getsid"
        | "setpgid" | "prlimit64" | "process_vm_readv" | "process_vm_writev" => index < 2,
        "getpriority" | "setpriority" => index == 1,
        _ => false,
    }
}

/// Why a call is left out, if it is.
#[must_use]
pub fn excluded(name: &str) -> Option<&'static str> {
    EXCLUDED.iter().find(|(names, _)| names.contains(&name)).map(|(_, reason)| *reason)
}

/// What a result is, of a call that succeeds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ResultKind {
    /// A number that is the same everywhere.
    Exact,
    /// An address, which only has to be there.
    Address,
    /// Anything.
    Any,
}

/// What the results of the calls are that are not [`ResultKind::Exact`].
pub(super) fn result_kind(name: &str) -> ResultKind {
    match name {
        "mmap" | "mmap2" | "mremap" | "brk" => ResultKind::Address,
        "alarm" | "getpgrp" | "getsid" | "getpgid" | "getdents64" => ResultKind::Any,
        _ => ResultKind::Exact,
    }
}

/// What a call writes that no two kernels have in common: argument, offset, length.
#[rustfmt::skip]
pub(super) fn masks(name: &str) -> &'static [(usize, u32, u32)] {
    /// Device, inode, size of a block and blocks, and times.
    const STAT64: &[(usize, u32, u32)] = &[(1, 0, 16), (1, 52, 44)];
    const STAT: &[(usize, u32, u32)] = &[(1, 0, 8), (1, 24, 32)];
    match name {
        "stat64" | "lstat64" | "fstat64" => STAT64,
        "fstatat64" => &[(2, 0, 16), (2, 52, 44)],
        "stat" | "lstat" | "fstat" => STAT,
        "oldstat" | "oldlstat" | "oldfstat" => &[(1, 0, 4), (1, 20, 12)],
        "statx" => &[(4, 0, 8), (4, 8, 8), (4, 32, 8), (4, 48, 208)],
        "statfs" | "fstatfs" => &[(1, 0, 64)],
        "statfs64" | "fstatfs64" => &[(2, 0, 84)],
        "clock_gettime" | "clock_gettime64" | "clock_getres" | "clock_getres_time64" => &[(1, 0, 16)],
        "getitimer" => &[(1, 8, 8)],
        "setitimer" => &[(2, 8, 8)],
        "timer_gettime" | "timerfd_gettime" => &[(1, 8, 8)],
        "timer_gettime64" | "timerfd_gettime64" => &[(1, 16, 16)],
        "timer_settime" | "timerfd_settime" => &[(3, 8, 8)],
        "timer_settime64" | "timerfd_settime64" => &[(3, 16, 16)],
        "nanosleep" => &[(1, 0, 8)],
        "clock_nanosleep" => &[(3, 0, 8)],
        "clock_nanosleep_time64" => &[(3, 0, 16)],
        "select" | "_newselect" | "pselect6" => &[(4, 0, 8)],
        "pselect6_time64" => &[(4, 0, 16)],
        "ppoll" => &[(2, 0, 8)],
        "ppoll_time64" => &[(2, 0, 16)],
        "getdents64" => &[(1, 0, 8192)],
        "sched_rr_get_interval" => &[(1, 0, 8)],
        "mincore" => &[(2, 0, 4096)],
        _ => &[],
    }
}

/// A difference that is meant.
pub(super) struct Deviation {
    /// The calls.
    pub(super) calls: &'static [&'static str],
    /// What the host answers; `None` for whatever it is.
    pub(super) native: Option<i32>,
    /// What the machine answers.
    pub(super) own: Option<i32>,
    /// The reason, for a reader who wonders whether it is a mistake.
    pub(super) reason: &'static str,
}

/// The differences that are meant.
pub(super) const DEVIATIONS: &[Deviation] = &[
    Deviation {
        calls: &["pkey_alloc"],
        native: None,
        own: Some(-28),
        reason: "the machine's processor has no protection keys; the host's may",
    },
    Deviation {
        calls: &["rename", "renameat", "renameat2", "link", "linkat"],
        native: None,
        own: Some(-18),
        reason: "the machine's /dev is a file system of its own",
    },
    Deviation {
        calls: &["renameat2"],
        native: None,
        own: Some(-22),
        reason: "RENAME_WHITEOUT, of which only overlays of the kernel make something, is refused",
    },
    Deviation {
        calls: &["fallocate"],
        native: Some(-95),
        own: None,
        reason: "the file system decides: the machine's zeroes ranges, the host's does not",
    },
    Deviation {
        calls: &["socket", "socketpair"],
        native: Some(-13),
        own: Some(-93),
        reason: "sockets for echo requests are for the groups that the host's administrator names",
    },
];

/// Differences that are known and not mended: how their kinds begin.
#[rustfmt::skip]
pub(super) const OPEN: &[&str] = &[
    "_newselect: 0x", "_newselect: Waits natively", "_newselect: errno 22 natively",
    "_newselect: errno 9 natively", "clock_gettime: errno 22 natively",
    "clock_settime64: errno 22 natively", "connect: errno 111 natively", "connect: errno 2 natively",
    "connect: errno 22 natively", "copy_file_range: errno 14 natively",
    "copy_file_range: errno 22 natively", "creat: errno 21 natively", "epoll_ctl: errno 1 natively",
    "fallocate: 0x", "fallocate: errno 19 natively", "fallocate: errno 29 natively",
    "fallocate: errno 95 natively", "fchmod: errno 95 natively", "fchown: errno 95 natively",
    "fcntl64: errno 22 natively", "fcntl64: errno 3 natively", "fcntl: errno 22 natively",
    "fcntl: errno 3 natively", "fstat: *1+8", "ftruncate: errno 22 natively", "getpeername: *1+0",
    "getpeername: errno 14 natively", "getsockname: *2+0", "getsockname: errno 14 natively",
    "getsockname: errno 22 natively", "ioctl: 0x", "ioctl: errno 14 natively",
    "ioctl: errno 22 natively", "link: errno 1 natively", "link: errno 13 natively",
    "link: errno 17 natively", "link: errno 2 natively", "link: errno 20 natively",
    "link: errno 36 natively", "linkat: errno 1 natively", "linkat: errno 14 natively",
    "linkat: errno 2 natively", "linkat: errno 20 natively", "linkat: errno 36 natively", "lseek: 0x",
    "madvise: errno 12 natively", "madvise: errno 22 natively", "memfd_create: errno 22 natively",
    "mincore: errno 12 natively", "mincore: errno 14 natively", "mkdir: errno 17 natively",
    "mkdirat: errno 17 natively", "mknod: errno 17 natively", "mknodat: errno 17 natively",
    "mlock2: errno 12 natively", "mlock2: errno 22 natively", "mlock: errno 12 natively",
    "mmap2: errno 1 natively", "mmap2: errno 22 natively", "mprotect: errno 22 natively", "mremap: 0x",
    "mremap: errno 14 natively", "mremap: errno 22 natively", "msgrcv: errno 14 natively",
    "munlock: errno 12 natively", "munmap: Killed(11) natively", "nanosleep: Waits natively",
    "oldfstat: errno 75 natively", "oldlstat: errno 14 natively", "open: errno 2 natively",
    "open: errno 20 natively", "open: errno 22 natively", "open: errno 36 natively",
    "open: errno 40 natively", "openat2: errno 7 natively", "openat: errno 2 natively",
    "openat: errno 22 natively", "pipe2: errno 65 natively", "prctl: 0x", "prctl: errno 1 natively",
    "prctl: errno 14 natively", "prctl: errno 22 natively", "pread64: 0x", "preadv2: 0x",
    "preadv2: errno 95 natively", "preadv: 0x", "process_vm_readv: errno 14 natively",
    "process_vm_readv: errno 22 natively", "pselect6: errno 14 natively", "pwritev2: errno 95 natively",
    "pwritev: Killed(25) natively", "read: 0x", "read: errno 22 natively",
    "readlinkat: errno 2 natively", "readv: 0x", "readv: errno 22 natively",
    "recvfrom: errno 11 natively", "rename: errno 1 natively", "rename: errno 13 natively",
    "rename: errno 2 natively", "rename: errno 20 natively", "rename: errno 22 natively",
    "renameat2: errno 16 natively", "renameat2: errno 20 natively", "renameat: errno 13 natively",
    "renameat: errno 16 natively", "renameat: errno 2 natively", "renameat: errno 20 natively",
    "rt_sigqueueinfo: errno 1 natively", "rt_sigqueueinfo: errno 14 natively",
    "rt_sigqueueinfo: errno 3 natively", "rt_sigtimedwait: *1+20", "rt_sigtimedwait: Waits natively",
    "rt_tgsigqueueinfo: errno 1 natively", "rt_tgsigqueueinfo: errno 3 natively", "sendfile64: *2+0",
    "sendfile: Killed(25) natively", "sendfile: errno 11 natively", "sendto: 0x",
    "sendto: errno 106 natively", "sendto: errno 14 natively", "sendto: errno 95 natively",
    "setpgid: errno 3 natively", "setsockopt: errno 92 natively", "settimeofday: errno 1 natively",
    "settimeofday: errno 14 natively", "socket: errno 22 natively", "socketpair: errno 22 natively",
    "socketpair: errno 94 natively", "splice: errno 14 natively", "splice: errno 22 natively",
    "splice: errno 9 natively", "stat: *1+20", "statx: 0x", "tee: errno 22 natively",
    "tee: errno 9 natively", "tgkill: errno 3 natively", "timer_create: *2+0",
    "vmsplice: Waits natively", "write: errno 107 natively", "write: errno 14 natively",
    "write: errno 89 natively", "writev: 0x", "writev: errno 14 natively", "writev: errno 22 natively",
];
