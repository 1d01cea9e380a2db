//! Registers as GDB has them, and the description that names them.

use std::fmt::Write;

use gdbstub_arch::x86::reg::X86CoreRegs;
use pentimento_registers::{
    ControlWord, CpuState, Eflags, F80, Gpr, Mxcsr, Segment, SegmentRegister, TlsDescriptors,
};

/// The description of an i386 with x87 and SSE, in the order in which registers are sent.
pub(super) fn description() -> String {
    let mut text = String::from(
        "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\"><target version=\"1.0\">\
         <architecture>i386</architecture><feature name=\"org.gnu.gdb.i386.core\">\
         <flags id=\"i386_eflags\" size=\"4\">",
    );
    for (name, flag) in Eflags::all().iter_names() {
        let bit = flag.bits().trailing_zeros();
        if flag.bits().is_power_of_two() {
            let _ = write!(text, "<field name=\"{name}\" start=\"{bit}\" end=\"{bit}\"/>");
        }
    }
    text.push_str("</flags>");
    let mut register = |name: &str, bits: u32, kind: &str, group: &str| {
        let group = if group.is_empty() { String::new() } else { format!(" group=\"{group}\"") };
        let _ = write!(text, "<reg name=\"{name}\" bitsize=\"{bits}\" type=\"{kind}\"{group}/>");
    };
    for gpr in Gpr::ALL {
        let kind = if matches!(gpr, Gpr::Esp | Gpr::Ebp) { "data_ptr" } else { "int32" };
        register(gpr.name(), 32, kind, "");
    }
    register("eip", 32, "code_ptr", "");
    register("eflags", 32, "i386_eflags", "");
    for segment in SEGMENTS {
        register(segment.name(), 32, "int32", "");
    }
    for number in 0..8 {
        register(&format!("st{number}"), 80, "i387_ext", "");
    }
    for name in ["fctrl", "fstat", "ftag", "fiseg", "fioff", "foseg", "fooff", "fop"] {
        register(name, 32, "int", "float");
    }
    text.push_str("</feature><feature name=\"org.gnu.gdb.i386.sse\">");
    for (id, element, count) in [
        ("v4f", "ieee_single", 4),
        ("v2d", "ieee_double", 2),
        ("v16i8", "int8", 16),
        ("v8i16", "int16", 8),
        ("v4i32", "int32", 4),
        ("v2i64", "int64", 2),
    ] {
        let _ = write!(text, "<vector id=\"{id}\" type=\"{element}\" count=\"{count}\"/>");
    }
    text.push_str("<union id=\"vec128\">");
    for (field, kind) in [
        ("v4_float", "v4f"),
        ("v2_double", "v2d"),
        ("v16_int8", "v16i8"),
        ("v8_int16", "v8i16"),
        ("v4_int32", "v4i32"),
        ("v2_int64", "v2i64"),
        ("uint128", "uint128"),
    ] {
        let _ = write!(text, "<field name=\"{field}\" type=\"{kind}\"/>");
    }
    text.push_str("</union>");
    for number in 0..8 {
        let _ = write!(text, "<reg name=\"xmm{number}\" bitsize=\"128\" type=\"vec128\"/>");
    }
    text.push_str("<reg name=\"mxcsr\" bitsize=\"32\" type=\"int\" group=\"vector\"/></feature></target>");
    text
}

/// Segment registers in GDB's order.
const SEGMENTS: [SegmentRegister; 6] = [
    SegmentRegister::Cs,
    SegmentRegister::Ss,
    SegmentRegister::Ds,
    SegmentRegister::Es,
    SegmentRegister::Fs,
    SegmentRegister::Gs,
];

/// Fills what GDB reads.
pub(super) fn to_gdb(state: &CpuState, registers: &mut X86CoreRegs) {
    let gpr = |register| state.gpr(register);
    registers.eax = gpr(Gpr::Eax);
    registers.ecx = gpr(Gpr::Ecx);
    registers.edx = gpr(Gpr::Edx);
    registers.ebx = gpr(Gpr::Ebx);
    registers.esp = gpr(Gpr::Esp);
    registers.ebp = gpr(Gpr::Ebp);
    registers.esi = gpr(Gpr::Esi);
    registers.edi = gpr(Gpr::Edi);
    registers.eip = state.eip;
    registers.eflags = state.eflags.bits();
    let [cs, ss, ds, es, fs, gs] = SEGMENTS.map(|segment| u32::from(state.segment(segment).selector));
    let segments = &mut registers.segments;
    (segments.cs, segments.ss, segments.ds) = (cs, ss, ds);
    (segments.es, segments.fs, segments.gs) = (es, fs, gs);
    for (index, st) in (0..).zip(&mut registers.st) {
        *st = state.x87.registers[state.x87.physical(index)].to_le_bytes();
    }
    let (x87, fpu) = (&state.x87, &mut registers.fpu);
    fpu.fctrl = x87.control.bits().into();
    fpu.fstat = x87.status_word().into();
    fpu.ftag = x87.tag_word().into();
    fpu.fiseg = x87.last_instruction_selector.into();
    fpu.fioff = x87.last_instruction;
    fpu.foseg = x87.last_data_selector.into();
    fpu.fooff = x87.last_data;
    fpu.fop = x87.last_opcode.into();
    registers.xmm = state.xmm;
    registers.mxcsr = state.mxcsr.bits();
}

/// Takes over what GDB wrote, as far as a program could have written it; segment registers only where
/// the selector is another one that has a descriptor.
pub(super) fn from_gdb(registers: &X86CoreRegs, state: &mut CpuState, tls: TlsDescriptors) {
    for (register, value) in [
        (Gpr::Eax, registers.eax),
        (Gpr::Ecx, registers.ecx),
        (Gpr::Edx, registers.edx),
        (Gpr::Ebx, registers.ebx),
        (Gpr::Esp, registers.esp),
        (Gpr::Ebp, registers.ebp),
        (Gpr::Esi, registers.esi),
        (Gpr::Edi, registers.edi),
    ] {
        state.set_gpr(register, value);
    }
    state.eip = registers.eip;
    let flags = Eflags::from_bits_truncate(registers.eflags) & Eflags::USER_WRITABLE;
    state.eflags = state.eflags.difference(Eflags::USER_WRITABLE) | flags;
    let segments = &registers.segments;
    for (register, selector) in [
        (SegmentRegister::Ds, segments.ds),
        (SegmentRegister::Es, segments.es),
        (SegmentRegister::Fs, segments.fs),
        (SegmentRegister::Gs, segments.gs),
    ] {
        let segment = state.segment_mut(register);
        let selector = selector as u16;
        if let (true, Some(descriptor)) = (selector != segment.selector, tls.get(selector >> 3)) {
            *segment = Segment::new(selector, Some(descriptor));
        }
    }
    // The status word first: TOP says which register ST(0) is.
    state.x87.set_status_word(registers.fpu.fstat as u16);
    state.x87.control = ControlWord::from_bits_truncate(registers.fpu.fctrl as u16);
    state.x87.set_tag_word(registers.fpu.ftag as u16);
    for (index, st) in (0..).zip(&registers.st) {
        let physical = state.x87.physical(index);
        state.x87.registers[physical] = F80::from_le_bytes(*st);
    }
    state.xmm = registers.xmm;
    state.mxcsr = Mxcsr::from_bits_truncate(registers.mxcsr);
}
