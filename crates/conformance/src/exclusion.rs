//! Rows that the silicon oracle leaves out, with the reason.

use pentimento_decoder::{Feature, Instruction, Operation, Prefixes, Row};

/// Why `row` cannot be compared with the host's CPU, if it cannot.
#[must_use]
pub fn exclusion(row: &Row) -> Option<&'static str> {
    by_operation(row.operation()).or_else(|| by_feature(row.feature()))
}

/// Why this encoding cannot be compared although its row can.
#[must_use]
pub(crate) fn of_encoding(instruction: &Instruction) -> Option<&'static str> {
    use Operation as O;
    let repeated = instruction.prefixes().intersects(Prefixes::REP.union(Prefixes::REPNE));
    match instruction.operation() {
        O::Loope | O::Loopne if repeated => Some("AMD's CPUs let F2h and F3h decide which ZF ends the loop"),
        O::Int if instruction.immediate() & 0xff == 0x80 => Some("enters the host's kernel"),
        _ => None,
    }
}

fn by_operation(operation: Operation) -> Option<&'static str> {
    use Operation as O;
    Some(match operation {
        O::Cpuid | O::Xgetbv => "says what the host is, not what the model is",
        O::Rdtsc | O::Rdtscp | O::Rdpmc | O::Rdpid => "host time, counters and processor numbers",
        O::Rdrand | O::Rdseed => "random numbers",
        O::Sysenter | O::Syscall | O::Sysexit | O::Sysret => "enters the host's kernel",
        O::Sgdt | O::Sidt | O::Sldt | O::Str | O::Smsw => "the host's kernel emulates it (UMIP)",
        O::Rcpps | O::Rcpss | O::Rsqrtps | O::Rsqrtss => "approximations that differ between CPUs",
        O::Int1 => "hypervisors report the wrong EIP for it",
        O::Monitor | O::Mwait => "depends on MSRs of the host",
        _ => return None,
    })
}

fn by_feature(feature: Feature) -> Option<&'static str> {
    use Feature as F;
    Some(match feature {
        F::Xsave | F::Xsaveopt | F::Xsavec | F::Xsaves => "the host's extended state is larger",
        F::Vmx | F::Svm | F::Smx | F::Sgx | F::Pconfig => "virtualisation and enclaves",
        F::Sse4a | F::ThreeDNow | F::Gfni | F::Clzero | F::Monitorx | F::Rdpru => {
            "no CPU model here has it, the host may"
        }
        F::Movdiri | F::Movdir64b | F::Serialize | F::Waitpkg | F::Ptwrite | F::Enqcmd | F::Cldemote => {
            "no CPU model here has it, the host may"
        }
        F::CetSs | F::CetIbt | F::Rtm | F::Pku | F::Fsgsbase | F::Wbnoinvd | F::Invpcid | F::Smap => {
            "no CPU model here has it, the host may"
        }
        _ => return None,
    })
}
