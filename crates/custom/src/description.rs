//! What describes an instruction set: plain data, read from TOML or built in Rust.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use crate::{Cause, Context, SetError};

/// The description of an instruction set. [`Self::build`] checks it and makes it run.
///
/// Every field is a key of the TOML form with the same name; `docs/custom.md` shows one in full.
///
/// ```
/// use pentimento_custom::{Description, Effect, End, OperandForm, Processor, Row};
///
/// let set = Description::new("doubler")
///     .registers(["x:8"])
///     .operand("n", OperandForm::number().bits(8))
///     .row(Row::new("set n", "01 n", "x = n as u8"))
///     .row(Row::new("double", "02", Effect::native(|context| {
///         let doubled = context.get("x")? * 2;
///         context.set("x", doubled)
///     })))
///     .row(Row::new("stop", "03", "halt(x)"))
///     .build()?;
/// let mut processor = Processor::new(&set)?;
/// processor.load(&set.assemble("set 21; double; stop")?)?;
/// assert_eq!(processor.run(100), End::Halted { status: 42 });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// What the set is called.
    pub name: String,
    /// One sentence for people.
    #[serde(default)]
    pub about: String,
    /// Bits of registers that say nothing else, 1 to 64.
    #[serde(default = "default_width")]
    pub width: u8,
    /// The registers in the order of their numbers, each a name or `name:bits`.
    #[serde(default)]
    pub registers: Vec<String>,
    /// The flags, one bit each, the lowest bit of the flags first.
    #[serde(default)]
    pub flags: Vec<String>,
    /// The size of memory, in words where there are words, else in bytes; at most 256 MiB.
    #[serde(default = "default_memory")]
    pub memory: u32,
    /// Hexadecimal digits of an instruction word, 1 to 16. Then each instruction is one word, and
    /// addresses count words. Without it an instruction is as many bytes as its row says.
    #[serde(default)]
    pub word: Option<u8>,
    /// The order of the bytes of words, of wide operands and of loads and stores.
    #[serde(default)]
    pub endian: Endian,
    /// The register that is the instruction pointer. Without it `ip` is one, outside the numbering.
    #[serde(default)]
    pub ip: Option<String>,
    /// The stack of `push` and `pop`.
    #[serde(default)]
    pub stack: Option<Stack>,
    /// The highest exit status that `halt` takes.
    #[serde(default = "default_status")]
    pub status_max: u8,
    /// What the end of the program means to a processor that gets there.
    #[serde(default)]
    pub at_end: AtEnd,
    /// Names for digits in the `code` of rows.
    #[serde(default)]
    pub opcodes: BTreeMap<String, String>,
    /// What the names in `syntax` and `code` of rows stand for.
    #[serde(default)]
    pub operands: BTreeMap<String, OperandForm>,
    /// The instructions. In TOML a table whose keys are the syntax; its order is that in which the
    /// assembler tries rows with the same mnemonic.
    #[serde(default, deserialize_with = "rows")]
    pub instructions: Vec<Row>,
}

fn default_width() -> u8 {
    32
}

fn default_memory() -> u32 {
    0x1_0000
}

fn default_status() -> u8 {
    u8::MAX
}

/// The order of bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Endian {
    /// The lowest byte first.
    #[default]
    Little,
    /// The highest byte first.
    Big,
}

/// What it means that the instruction pointer reaches the end of the program.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AtEnd {
    /// The end of the run; only what was loaded is code.
    #[default]
    Halt,
    /// Nothing: whatever memory holds there is the next instruction.
    Continue,
}

/// A stack.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stack {
    /// The most entries that it holds, up to 2^24.
    pub entries: u32,
    /// Bits of an entry, 1 to 64; in memory 8, 16, 32 or 64, or a word. The set's `width` without it.
    #[serde(default)]
    pub width: Option<u8>,
    /// The stack pointer of a stack in memory, which starts at the end of memory and grows downward.
    /// Without it the stack is one of its own, outside memory.
    #[serde(default)]
    pub register: Option<String>,
}

/// What an operand is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OperandKind {
    /// A register, by its number.
    Register,
    /// A number without a sign, an address among them.
    Number,
    /// A number with a sign.
    Signed,
    /// An address, held as its distance from the end of the instruction.
    Relative,
}

/// The form of an operand: what it is, and how wide its field in the code.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperandForm {
    /// A register, a number, an address...
    pub kind: OperandKind,
    /// Bits of its field. Without it the field takes what the other ones leave of a word.
    #[serde(default)]
    pub bits: Option<u8>,
    /// The registers that it can name, by their position here; all registers without it.
    #[serde(default)]
    pub from: Vec<String>,
}

impl OperandForm {
    fn of(kind: OperandKind) -> Self {
        Self { kind, bits: None, from: Vec::new() }
    }

    /// A register.
    #[must_use]
    pub fn register() -> Self {
        Self::of(OperandKind::Register)
    }

    /// A number without a sign.
    #[must_use]
    pub fn number() -> Self {
        Self::of(OperandKind::Number)
    }

    /// A number with a sign.
    #[must_use]
    pub fn signed() -> Self {
        Self::of(OperandKind::Signed)
    }

    /// An address, held as its distance from the end of the instruction.
    #[must_use]
    pub fn relative() -> Self {
        Self::of(OperandKind::Relative)
    }

    /// The same with a field of `bits` bits.
    #[must_use]
    pub fn bits(self, bits: u8) -> Self {
        Self { bits: Some(bits), ..self }
    }
}

/// An instruction: how it is written, how it is encoded, and what it does.
#[derive(Clone, Debug)]
pub struct Row {
    /// The mnemonic, then operands by name among punctuation: `ldb r, [s]`.
    pub syntax: String,
    /// Hexadecimal digits (`0` to `9`, `A` to `F`), bits after `0b`, opcodes and operands by name: `05 r s`.
    pub code: String,
    /// What the instruction does.
    pub effect: Effect,
}

impl Row {
    /// A row of three columns.
    #[must_use]
    pub fn new(syntax: impl Into<String>, code: impl Into<String>, effect: impl Into<Effect>) -> Self {
        Self { syntax: syntax.into(), code: code.into(), effect: effect.into() }
    }
}

/// The signature of an effect in Rust.
pub(crate) type NativeEffect = dyn Fn(&mut Context<'_>) -> Result<(), Cause> + Send + Sync;

/// What an instruction does.
#[derive(Clone)]
pub enum Effect {
    /// Text of the effect language, which `docs/custom.md` describes.
    Text(String),
    /// Rust code, see [`Self::native`].
    Native(Arc<NativeEffect>),
}

impl Effect {
    /// An effect in Rust. It reaches the processor through [`Context`]; an error ends the run as a fault.
    pub fn native(effect: impl Fn(&mut Context<'_>) -> Result<(), Cause> + Send + Sync + 'static) -> Self {
        Self::Native(Arc::new(effect))
    }
}

impl From<&str> for Effect {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl fmt::Debug for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.debug_tuple("Text").field(text).finish(),
            Self::Native(_) => f.write_str("Native"),
        }
    }
}

/// The columns of a row in TOML behind its syntax.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Columns {
    code: String,
    effect: String,
}

/// Reads a table of rows in the order of the file.
fn rows<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Row>, D::Error> {
    struct Table;
    impl<'de> Visitor<'de> for Table {
        type Value = Vec<Row>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a table of rows such as \"mov r, s\" = { code = \"03 r s\", effect = \"r = s\" }")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<Row>, A::Error> {
            let mut rows = Vec::new();
            while let Some((syntax, columns)) = map.next_entry::<String, Columns>()? {
                rows.push(Row { syntax, code: columns.code, effect: Effect::Text(columns.effect) });
            }
            Ok(rows)
        }
    }
    deserializer.deserialize_map(Table)
}

impl Description {
    /// A description without registers and rows: 32 bits, 65,536 bytes of memory, no stack.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            about: String::new(),
            width: default_width(),
            registers: Vec::new(),
            flags: Vec::new(),
            memory: default_memory(),
            word: None,
            endian: Endian::default(),
            ip: None,
            stack: None,
            status_max: default_status(),
            at_end: AtEnd::default(),
            opcodes: BTreeMap::new(),
            operands: BTreeMap::new(),
            instructions: Vec::new(),
        }
    }

    /// The same with these registers as well.
    #[must_use]
    pub fn registers<'r>(mut self, registers: impl IntoIterator<Item = &'r str>) -> Self {
        self.registers.extend(registers.into_iter().map(str::to_owned));
        self
    }

    /// The same with an operand as well.
    #[must_use]
    pub fn operand(mut self, name: impl Into<String>, form: OperandForm) -> Self {
        self.operands.insert(name.into(), form);
        self
    }

    /// The same with a row as well.
    #[must_use]
    pub fn row(mut self, row: Row) -> Self {
        self.instructions.push(row);
        self
    }

    /// Reads the TOML form.
    ///
    /// # Errors
    /// What is wrong, with the line.
    pub fn from_toml(text: &str) -> Result<Self, SetError> {
        Self::from_toml_with(text, &[])
    }

    /// Reads the TOML form after changing some of its values: each change is TOML itself, such as
    /// `word = 6` or `opcodes.mov = "A"`.
    ///
    /// # Errors
    /// What is wrong with the text or with a change.
    pub fn from_toml_with(text: &str, changes: &[&str]) -> Result<Self, SetError> {
        for text in std::iter::once(&text).chain(changes) {
            if text.len() > crate::bounds::DESCRIPTION_TEXT {
                let most = crate::bounds::DESCRIPTION_TEXT;
                return Err(SetError::new("", format!("a description has at most {most} bytes")));
            }
        }
        if changes.is_empty() {
            return toml::from_str(text).map_err(|error| SetError::new("", error.to_string().trim_end()));
        }
        let mut table = read_table(text, "")?;
        for change in changes {
            merge(&mut table, read_table(change, change)?);
        }
        table.try_into().map_err(|error: toml::de::Error| SetError::new("", error.to_string().trim_end()))
    }
}

fn read_table(text: &str, place: &str) -> Result<toml::Table, SetError> {
    text.parse().map_err(|error: toml::de::Error| SetError::new(place, error.to_string().trim_end()))
}

/// Puts the values of `change` over those of `table`; the depth is that of a parsed text, which is bounded.
fn merge(table: &mut toml::Table, change: toml::Table) {
    for (key, value) in change {
        match (table.get_mut(&key), value) {
            (Some(toml::Value::Table(inner)), toml::Value::Table(value)) => merge(inner, value),
            (_, value) => {
                table.insert(key, value);
            }
        }
    }
}
