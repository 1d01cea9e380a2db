//! Rows that the silicon oracle leaves out, with the reason.

use pentimento_decoder::{DecodeError, DecodeErrorKind, Feature, Instruction, Operation, Row, decode};

/// Why `row` cannot be compared with the host's CPU, if it cannot.
#[must_use]
pub fn exclusion(row: &Row) -> Option<&'static str> {
    by_operation(row.operation()).or_else(|| by_feature(row.feature()))
}

/// Why this encoding cannot be compared although its row can.
#[must_use]
pub(crate) fn of_encoding(instruction: &Instruction) -> Option<&'static str> {
    use Operation as O;
    match instruction.operation() {
        O::Int if instruction.immediate() & 0xff == 0x80 => Some("enters the host's kernel"),
        _ => None,
    }
}

/// Whether `code` is undefined on every CPU, extensions that no model here has left aside.
pub(crate) fn is_undefined(code: &[u8]) -> bool {
    let opcode = code.iter().position(|byte| !matches!(byte, 0x66 | 0x67 | 0xf2 | 0xf3)).unwrap_or(0);
    match decode(code) {
        Err(DecodeError { kind: DecodeErrorKind::Undefined, .. }) => {
            match code.get(opcode..opcode + 3) {
                // 3DNow!, which the host's CPU had to give up but may still decode.
                Some(&[0x0f, 0x0f, _]) => false,
                // The host's hypervisor answers VMCALL and its like, whatever the prefix.
                Some(&[0x0f, 0x01, 0xc0..=0xff]) => false,
                _ => true,
            }
        }
        _ => false,
    }
}

fn by_operation(operation: Operation) -> Option<&'static str> {
    use Operation as O;
    Some(match operation {
        O::Cpuid | O::Xgetbv => "says what the host is, not what the model is",
        O::Rdtsc | O::Rdtscp | O::Rdpmc | O::Rdpid => "host time, counters and processor numbers",
        O::Rdrand | O::Rdseed => "random numbers",
        O::Sysenter | O::Syscall | O::Sysexit | O::Sysret => "enters the host's kernel",
        O::Sgdt | O::Sidt | O::Sldt | O::Str | O::Smsw => "the host's kernel emulates it (UMIP), without TF",
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
