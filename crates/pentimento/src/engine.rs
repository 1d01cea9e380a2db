//! The engines of this build: the one list that the facade, the command, the conformance tests, the
//! benches and the fuzzers read.

use std::fmt;

use pentimento_execute::{Engine, Reference};
use pentimento_interpreter::Interpreter;

/// An engine that a machine can run on: its name, what it is, and how to start one.
///
/// All engines give the same results, bit for bit; they differ in speed.
#[derive(Clone, Copy)]
pub struct EngineKind {
    name: &'static str,
    description: &'static str,
    start: fn() -> Box<dyn Engine>,
}

impl EngineKind {
    /// The plain engine that every other one is checked against.
    pub const REFERENCE: Self = Self {
        name: "reference",
        description: "fetches, decodes and executes one instruction at a time; slow, and the truth",
        start: || Box::new(Reference),
    };

    /// The fast engine for every host.
    pub const INTERPRETER: Self = Self {
        name: "interpreter",
        description: "blocks of predecoded operations; fast on every host",
        start: || Box::new(Interpreter::new()),
    };

    /// The translator to the host's own code, after a start in the interpreter: x86-64 Linux hosts,
    /// feature `jit`. Where the host refuses what it needs it is the interpreter.
    #[cfg(all(feature = "jit", target_arch = "x86_64", target_os = "linux"))]
    pub const JIT: Self = Self {
        name: "jit",
        description: "translates code that runs hot to the host's own; near native speed",
        start: || Box::new(pentimento_jit::Translator::new()),
    };

    /// The translator from the first instruction on, for comparing engines: flags that the SDM calls
    /// undefined are those of every other engine, too, whatever the host's make.
    #[cfg(all(feature = "jit", target_arch = "x86_64", target_os = "linux"))]
    pub const JIT_EXACT: Self = Self {
        name: "jit-exact",
        description: "translates from the first instruction on, with undefined flags as elsewhere",
        start: || Box::new(pentimento_jit::Translator::eager()),
    };

    /// What names the default engine where a name is asked for.
    pub const AUTO: &'static str = "auto";

    /// Every engine of this build, the reference first.
    pub const ALL: &'static [Self] = &[
        Self::REFERENCE,
        Self::INTERPRETER,
        #[cfg(all(feature = "jit", target_arch = "x86_64", target_os = "linux"))]
        Self::JIT,
        #[cfg(all(feature = "jit", target_arch = "x86_64", target_os = "linux"))]
        Self::JIT_EXACT,
    ];

    /// The engine with that name; `auto` is the default one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        if name == Self::AUTO {
            return Some(Self::default());
        }
        Self::ALL.iter().copied().find(|kind| kind.name == name)
    }

    /// What command lines and reports call it: a word in lower case that no other engine has.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// What it is, in one line without a full stop.
    #[must_use]
    pub const fn description(self) -> &'static str {
        self.description
    }

    /// Whether what the architecture leaves open, such as flags that the SDM calls undefined, comes out as on
    /// the reference, whatever the host's make. Of the others it comes out as the host's CPU has it.
    #[must_use]
    pub fn is_exact(self) -> bool {
        #[cfg(all(feature = "jit", target_arch = "x86_64", target_os = "linux"))]
        let exact = self != Self::JIT;
        #[cfg(not(all(feature = "jit", target_arch = "x86_64", target_os = "linux")))]
        let exact = true;
        exact
    }

    /// An engine of this kind that has run nothing yet.
    #[must_use]
    pub fn start(self) -> Box<dyn Engine> {
        (self.start)()
    }
}

impl Default for EngineKind {
    /// The fastest of this build: the translator where there is one, which is the interpreter where the
    /// host refuses what it needs.
    fn default() -> Self {
        #[cfg(all(feature = "jit", target_arch = "x86_64", target_os = "linux"))]
        let fastest = Self::JIT;
        #[cfg(not(all(feature = "jit", target_arch = "x86_64", target_os = "linux")))]
        let fastest = Self::INTERPRETER;
        fastest
    }
}

impl PartialEq for EngineKind {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for EngineKind {}

impl fmt::Debug for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name)
    }
}
