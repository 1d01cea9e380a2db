//! A line of the source: a label, and what it stands before.

use iced_x86::Register;

use crate::encode::{Request, is_mnemonic};
use crate::error::Mistake;
use crate::expression::{Names, Reader, Value};
use crate::operand::{Distance, Memory, Operand};
use crate::prefix::Prefixes;
use crate::token::Token;

/// Conditions: the encoder's name, and others for the same.
const CONDITIONS: &[(&str, &[&str])] = &[
    ("b", &["c", "nae"]),
    ("ae", &["nb", "nc"]),
    ("e", &["z"]),
    ("ne", &["nz"]),
    ("be", &["na"]),
    ("a", &["nbe"]),
    ("p", &["pe"]),
    ("np", &["po"]),
    ("l", &["nge"]),
    ("ge", &["nl"]),
    ("le", &["ng"]),
    ("g", &["nle"]),
];

/// Other names of mnemonics.
const ALIASES: &[(&str, &str)] = &[
    ("xlat", "xlatb"),
    ("fwait", "wait"),
    ("retn", "ret"),
    ("sal", "shl"),
    ("icebp", "int1"),
    ("loopz", "loope"),
    ("loopnz", "loopne"),
];

/// Predicates of CMPPS and its kin.
const COMPARISONS: [&str; 8] = ["eq", "lt", "le", "unord", "neq", "nlt", "nle", "ord"];

/// Halves that PCLMULQDQ multiplies.
const HALVES: [(&str, i64); 4] =
    [("pclmullqlqdq", 0x00), ("pclmulhqlqdq", 0x01), ("pclmullqhqdq", 0x10), ("pclmulhqhqdq", 0x11)];

/// Reads an instruction: prefixes, mnemonic, operands. Gives every form of it that may be meant, the
/// likeliest first.
pub(crate) fn instruction(reader: &mut Reader<'_>, names: &Names) -> Result<Vec<Request>, Mistake> {
    let mut prefixes = Prefixes::NONE;
    let mut column = reader.column();
    let mut name = reader.name().unwrap_or_default();
    while prefixes.add(&joined_hint(reader, &mut name)) {
        reader.at += 1;
        column = reader.column();
        name = reader.name().ok_or_else(|| Mistake::new(column, "an instruction expected"))?;
    }
    reader.at += 1;
    let mut mnemonic = canonical(&name);
    let mut implied = Vec::new();
    if let Some((stem, predicate)) = comparison(&mnemonic) {
        mnemonic = stem;
        implied.push(Operand::Number(Value::constant(predicate), Distance::Any));
    } else if let Some((_, halves)) = HALVES.iter().find(|(name, _)| *name == mnemonic) {
        mnemonic = "pclmulqdq".into();
        implied.push(Operand::Number(Value::constant(*halves), Distance::Any));
    }
    let far = reader.name().as_deref() == Some("far");
    reader.at += usize::from(far);
    if far && mnemonic == "ret" {
        mnemonic = "retf".into();
    }
    if !is_mnemonic(&mnemonic) {
        return Err(Mistake::new(column, format!("no instruction or directive '{name}'")));
    }
    let mut operands = Vec::new();
    while !reader.is_at_end() {
        operands.push(reader.operand(names)?);
        if !reader.is_at_end() {
            reader.expect(',')?;
        }
    }
    operands.extend(implied);
    let far = far || matches!(operands.first(), Some(Operand::Far { .. }));
    let request = Request { prefixes, mnemonic, far, operands };
    Ok(forms(request))
}

/// `hint-taken` and `hint-not-taken` are three words each to the reader.
fn joined_hint(reader: &mut Reader<'_>, name: &mut String) -> String {
    for hint in ["hint-not-taken", "hint-taken"] {
        let words: Vec<&str> = hint.split('-').collect();
        let length = 2 * words.len() - 1;
        let matches = words.iter().enumerate().all(|(index, word)| {
            let token = reader.tokens.get(reader.at + 2 * index).map(|(_, token)| token);
            matches!(token, Some(Token::Name(name)) if name.eq_ignore_ascii_case(word))
        });
        if matches {
            reader.at += length - 1;
            *name = hint.to_owned();
        }
    }
    name.clone()
}

/// The encoder's name of a mnemonic.
fn canonical(name: &str) -> String {
    // Some of these the encoder knows as instructions of their own, at opcodes that nobody uses.
    if let Some((_, known)) = ALIASES.iter().find(|(alias, _)| *alias == name) {
        return (*known).to_owned();
    }
    if is_mnemonic(name) {
        return name.to_owned();
    }
    for stem in ["j", "set", "cmov"] {
        let Some(condition) = name.strip_prefix(stem) else { continue };
        if let Some((known, _)) = CONDITIONS.iter().find(|(_, others)| others.contains(&condition)) {
            return format!("{stem}{known}");
        }
    }
    name.to_owned()
}

/// `cmpltps` is CMPPS with predicate 1.
fn comparison(name: &str) -> Option<(String, i64)> {
    let rest = name.strip_prefix("cmp")?;
    let (predicate, format) = rest.split_at_checked(rest.len().checked_sub(2)?)?;
    let number = COMPARISONS.iter().position(|known| *known == predicate)?;
    matches!(format, "ps" | "pd" | "ss" | "sd").then(|| (format!("cmp{format}"), number as i64))
}

/// A request and what else it may mean, where the source leaves operands out or names implied ones.
fn forms(request: Request) -> Vec<Request> {
    let with = |operands: Vec<Operand>| Request { operands, ..request.clone() };
    let st = |number| Operand::Register(number);
    let operands = &request.operands;
    let mut forms = vec![request.clone()];
    let name = request.mnemonic.as_str();
    // `imul eax,5`
    if let ("imul", [first @ Operand::Register(_), Operand::Number(..)]) = (name, operands.as_slice()) {
        forms.push(with(vec![first.clone(), first.clone(), operands[1].clone()]));
    }
    // `jmp far offset,selector`
    if let ("jmp" | "call", true, [Operand::Number(offset, _), Operand::Number(selector, _)]) =
        (name, request.far, operands.as_slice())
    {
        forms.push(with(vec![Operand::Far { selector: *selector, offset: *offset }]));
    }
    if name.starts_with('f') {
        match operands.as_slice() {
            [] => {
                forms.push(with(vec![st(Register::ST0), st(Register::ST1)]));
                forms.push(with(vec![st(Register::ST1), st(Register::ST0)]));
            }
            [Operand::Register(Register::ST0), other] => forms.push(with(vec![other.clone()])),
            _ => {}
        }
        if let [other, Operand::Register(Register::ST0)] = operands.as_slice() {
            forms.push(with(vec![other.clone()]));
        }
        if let [Operand::Register(other)] = operands.as_slice() {
            forms.push(with(vec![st(Register::ST0), st(*other)]));
            forms.push(with(vec![st(*other), st(Register::ST0)]));
        }
    }
    string_forms(&request, &mut forms);
    implied_forms(&request, &mut forms);
    forms
}

/// What string instructions and MASKMOVQ leave out.
fn string_forms(request: &Request, forms: &mut Vec<Request>) {
    let pointer = |base| Operand::Memory(Memory { base, ..Memory::NOWHERE });
    let (source, destination) = (pointer(Register::ESI), pointer(Register::EDI));
    let accumulator = match request.mnemonic.chars().last() {
        Some('b') => Register::AL,
        Some('w') => Register::AX,
        _ => Register::EAX,
    };
    let accumulator = Operand::Register(accumulator);
    let port = Operand::Register(Register::DX);
    let operands = &request.operands;
    let stem = request.mnemonic.get(..request.mnemonic.len().saturating_sub(1)).unwrap_or_default();
    let mut add = |operands: Vec<Operand>| forms.push(Request { operands, ..request.clone() });
    match (stem, operands.as_slice()) {
        ("movs", []) => add(vec![destination, source]),
        ("cmps", []) => add(vec![source, destination]),
        ("stos", []) => add(vec![destination, accumulator]),
        ("stos", [memory]) => add(vec![memory.clone(), accumulator]),
        ("lods", []) => add(vec![accumulator, source]),
        ("lods", [memory]) => add(vec![accumulator, memory.clone()]),
        ("scas", []) => add(vec![accumulator, destination]),
        ("scas", [memory]) => add(vec![accumulator, memory.clone()]),
        ("ins", []) => add(vec![destination, port]),
        ("outs", []) => add(vec![port, source]),
        ("xlat", []) => add(vec![pointer(Register::EBX)]),
        ("maskmov" | "maskmovdq", [first, second, rest @ ..]) => {
            let mut form = request.clone();
            if let [Operand::Register(segment)] = rest {
                form.prefixes.override_segment(*segment);
            }
            form.operands = vec![destination, first.clone(), second.clone()];
            forms.push(form.clone());
            form.operands[0] = pointer(Register::DI);
            forms.push(form);
        }
        _ => {}
    }
}

/// Registers that the syntax names and the encoding implies.
fn implied_forms(request: &Request, forms: &mut Vec<Request>) {
    const IMPLIED: [&str; 6] = ["vmrun", "vmload", "vmsave", "clzero", "skinit", "invlpga"];
    if IMPLIED.contains(&request.mnemonic.as_str()) && !request.operands.is_empty() {
        let mut form = Request { operands: Vec::new(), ..request.clone() };
        if matches!(request.operands.first(), Some(Operand::Register(Register::AX))) {
            form.prefixes.add("addr16");
        }
        forms.push(form);
    }
}
