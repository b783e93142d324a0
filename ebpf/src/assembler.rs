//! A small assembler for eBPF: instructions by name, jumps by label.
//!
//! Instruction set: RFC 9669. Only what our programs need, and only jumps forward, which is all an older verifier allows.

/// A register of the eBPF machine. R0 returns, R1 to R5 are arguments and don't survive a call, R6 to R9 do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Register {
    /// What a call or the program returns.
    R0 = 0,
    /// First argument; the context when the program begins.
    R1 = 1,
    /// Second argument.
    R2 = 2,
    /// Third argument.
    R3 = 3,
    /// Fourth argument.
    R4 = 4,
    /// Survives calls.
    R6 = 6,
    /// Survives calls.
    R7 = 7,
    /// Survives calls.
    R8 = 8,
    /// Survives calls.
    R9 = 9,
    /// The end of the stack frame: its 512 bytes lie below.
    FramePointer = 10,
}

/// How many bytes a load or store moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Width {
    /// One.
    Byte = 0x10,
    /// Two.
    Half = 0x08,
    /// Four.
    Word = 0x00,
    /// Eight.
    Double = 0x18,
}

/// A condition on a register and a number, both unsigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Condition {
    /// They are the same.
    Equal = 0x10,
    /// They differ.
    NotEqual = 0x50,
    /// The register is less.
    Less = 0xa0,
}

/// Functions of the kernel a program may call (their numbers are part of the kernel's interface).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum Function {
    /// `void *bpf_map_lookup_elem(map, key)`: null where there is none.
    MapLookup = 1,
    /// `long bpf_skb_load_bytes(skb, offset, to, length)`: 0, or negative where the packet is shorter.
    LoadPacketBytes = 26,
    /// `long bpf_xdp_adjust_head(context, by)`: takes bytes off the front of an XDP program's frame.
    AdjustHead = 44,
    /// `long bpf_xdp_adjust_tail(context, by)`: takes bytes off its end, where `by` is negative.
    AdjustTail = 65,
}

/// An instruction as the kernel takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    opcode: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

/// A place in the program that can be jumped to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label(usize);

/// What keeps a program from being assembled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AssemblyError {
    /// A jump to a label that wasn't placed.
    #[error("instruction {from} jumps to a label that is nowhere")]
    Unplaced {
        /// The jump.
        from: usize,
    },
    /// A jump that an older verifier refuses.
    #[error("instruction {from} jumps backwards or further than 32767 instructions, to {to}")]
    Distance {
        /// The jump.
        from: usize,
        /// Where it goes.
        to: usize,
    },
}

/// Collects instructions.
#[derive(Debug, Default)]
pub struct Assembler {
    instructions: Vec<Instruction>,
    /// Where each label is placed.
    labels: Vec<Option<usize>>,
    /// Jumps and the labels they go to.
    jumps: Vec<(usize, Label)>,
}

// Classes, sources and modes of RFC 9669 sections 3 to 5.
const LOAD_IMMEDIATE: u8 = 0x00;
const LOAD: u8 = 0x01;
const STORE_IMMEDIATE: u8 = 0x02;
const STORE: u8 = 0x03;
const JUMP: u8 = 0x05;
const ARITHMETIC_64: u8 = 0x07;
const FROM_REGISTER: u8 = 0x08;
const MEMORY: u8 = 0x60;
const ATOMIC: u8 = 0xc0;
const ADD: u8 = 0x00;
const SUBTRACT: u8 = 0x10;
const IF_ABOVE: u8 = 0x20;
const AND: u8 = 0x50;
const SHIFT_LEFT: u8 = 0x60;
const MOVE: u8 = 0xb0;
const CALL: u8 = 0x80;
const EXIT: u8 = 0x90;
/// Source "register" of a 64-bit load that stands for a map's file descriptor.
const MAP_BY_DESCRIPTOR: u8 = 1;

impl Assembler {
    /// A label still to be placed.
    pub fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// Places a label before the next instruction.
    pub fn place(&mut self, label: Label) {
        if let Some(place) = self.labels.get_mut(label.0) {
            *place = Some(self.instructions.len());
        }
    }

    /// `to = value`, sign extended.
    pub fn set(&mut self, to: Register, value: i32) {
        self.push(ARITHMETIC_64 | MOVE, to as u8, 0, 0, value);
    }

    /// `to = from`
    pub fn copy(&mut self, to: Register, from: Register) {
        self.push(ARITHMETIC_64 | MOVE | FROM_REGISTER, to as u8, from as u8, 0, 0);
    }

    /// `to += value`
    pub fn add(&mut self, to: Register, value: i32) {
        self.push(ARITHMETIC_64 | ADD, to as u8, 0, 0, value);
    }

    /// `to += from`
    pub fn add_register(&mut self, to: Register, from: Register) {
        self.push(ARITHMETIC_64 | ADD | FROM_REGISTER, to as u8, from as u8, 0, 0);
    }

    /// `to -= from`
    pub fn subtract_register(&mut self, to: Register, from: Register) {
        self.push(ARITHMETIC_64 | SUBTRACT | FROM_REGISTER, to as u8, from as u8, 0, 0);
    }

    /// `to &= value`
    pub fn and(&mut self, to: Register, value: i32) {
        self.push(ARITHMETIC_64 | AND, to as u8, 0, 0, value);
    }

    /// `to <<= bits`
    pub fn shift_left(&mut self, to: Register, bits: i32) {
        self.push(ARITHMETIC_64 | SHIFT_LEFT, to as u8, 0, 0, bits);
    }

    /// `to = *(from + offset)`
    pub fn load(&mut self, width: Width, to: Register, from: Register, offset: i16) {
        self.push(LOAD | MEMORY | width as u8, to as u8, from as u8, offset, 0);
    }

    /// `*(to + offset) = from`
    pub fn store(&mut self, width: Width, to: Register, offset: i16, from: Register) {
        self.push(STORE | MEMORY | width as u8, to as u8, from as u8, offset, 0);
    }

    /// `*(to + offset) = value`
    pub fn store_value(&mut self, width: Width, to: Register, offset: i16, value: i32) {
        self.push(STORE_IMMEDIATE | MEMORY | width as u8, to as u8, 0, offset, value);
    }

    /// `*(to + offset) += from`, 64 bits, as one step whatever other processors do.
    pub fn add_atomically(&mut self, to: Register, offset: i16, from: Register) {
        let opcode = STORE | ATOMIC | Width::Double as u8;
        self.push(opcode, to as u8, from as u8, offset, ADD.into());
    }

    /// `to = the map with this file descriptor`
    pub fn load_map(&mut self, to: Register, descriptor: i32) {
        let opcode = LOAD_IMMEDIATE | Width::Double as u8;
        self.push(opcode, to as u8, MAP_BY_DESCRIPTOR, 0, descriptor);
        self.push(0, 0, 0, 0, 0);
    }

    /// `R0 = function(R1, …)`
    pub fn call(&mut self, function: Function) {
        self.push(JUMP | CALL, 0, 0, 0, function as i32);
    }

    /// Ends the program with R0 as its answer.
    pub fn exit(&mut self) {
        self.push(JUMP | EXIT, 0, 0, 0, 0);
    }

    /// Goes on at `label`.
    pub fn jump(&mut self, label: Label) {
        self.jumps.push((self.instructions.len(), label));
        self.push(JUMP, 0, 0, 0, 0);
    }

    /// Goes on at `label` if `register` and `value` fulfil the condition.
    pub fn jump_if(&mut self, register: Register, condition: Condition, value: i32, label: Label) {
        self.jumps.push((self.instructions.len(), label));
        self.push(JUMP | condition as u8, register as u8, 0, 0, value);
    }

    /// Goes on at `label` if `left` is above `right`, both unsigned.
    pub fn jump_if_above(&mut self, left: Register, right: Register, label: Label) {
        self.jumps.push((self.instructions.len(), label));
        self.push(JUMP | IF_ABOVE | FROM_REGISTER, left as u8, right as u8, 0, 0);
    }

    /// The program with its jumps filled in.
    ///
    /// # Errors
    /// Where a jump has no label, or goes back or too far.
    pub fn assemble(mut self) -> Result<Vec<Instruction>, AssemblyError> {
        for (from, Label(label)) in self.jumps {
            let to = self.labels.get(label).copied().flatten();
            let to = to.ok_or(AssemblyError::Unplaced { from })?;
            // An offset counts from the instruction after the jump.
            let distance = to
                .checked_sub(from + 1)
                .and_then(|distance| i16::try_from(distance).ok());
            let distance = distance.ok_or(AssemblyError::Distance { from, to })?;
            if let Some(jump) = self.instructions.get_mut(from) {
                jump.offset = distance;
            }
        }
        Ok(self.instructions)
    }

    fn push(&mut self, opcode: u8, destination: u8, source: u8, offset: i16, immediate: i32) {
        // Two bit fields in C, which a big-endian compiler lays out from the other end.
        let registers = if cfg!(target_endian = "little") {
            source << 4 | destination
        } else {
            destination << 4 | source
        };
        self.instructions.push(Instruction {
            opcode,
            registers,
            offset,
            immediate,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Opcode, destination and source register, offset, immediate.
    fn parts(instruction: Instruction) -> (u8, u8, u8, i16, i32) {
        let (low, high) = (instruction.registers & 15, instruction.registers >> 4);
        let (destination, source) = if cfg!(target_endian = "little") {
            (low, high)
        } else {
            (high, low)
        };
        (
            instruction.opcode,
            destination,
            source,
            instruction.offset,
            instruction.immediate,
        )
    }

    #[test]
    fn encodes_as_the_instruction_set_says() {
        use Register::{FramePointer, R0, R1, R2, R7, R9};
        let mut a = Assembler::default();
        a.set(R0, -1);
        a.copy(R1, R9);
        a.add(R2, -64);
        a.add_register(R7, R9);
        a.subtract_register(R7, R9);
        a.and(R1, 0xf0);
        a.shift_left(R9, 2);
        a.load(Width::Half, R1, FramePointer, -48);
        a.store(Width::Double, FramePointer, -64, R1);
        a.store_value(Width::Word, FramePointer, -4, 1);
        a.add_atomically(R0, 8, R1);
        a.load_map(R1, 77);
        a.call(Function::LoadPacketBytes);
        a.exit();
        let encoded: Vec<_> = a.assemble().unwrap().into_iter().map(parts).collect();
        assert_eq!(
            encoded,
            [
                (0xb7, 0, 0, 0, -1),
                (0xbf, 1, 9, 0, 0),
                (0x07, 2, 0, 0, -64),
                (0x0f, 7, 9, 0, 0),
                (0x1f, 7, 9, 0, 0),
                (0x57, 1, 0, 0, 0xf0),
                (0x67, 9, 0, 0, 2),
                (0x69, 1, 10, -48, 0),
                (0x7b, 10, 1, -64, 0),
                (0x62, 10, 0, -4, 1),
                (0xdb, 0, 1, 8, 0),
                (0x18, 1, 1, 0, 77),
                (0, 0, 0, 0, 0),
                (0x85, 0, 0, 0, 26),
                (0x95, 0, 0, 0, 0),
            ]
        );
        assert_eq!(size_of::<Instruction>(), 8);
    }

    #[test]
    fn jumps_count_from_the_next_instruction() {
        let mut a = Assembler::default();
        let (near, far) = (a.label(), a.label());
        a.jump_if(Register::R0, Condition::NotEqual, 4, far);
        a.jump(near);
        a.place(near);
        a.exit();
        a.place(far);
        a.exit();
        let encoded: Vec<_> = a.assemble().unwrap().into_iter().map(parts).collect();
        assert_eq!(encoded[0], (0x55, 0, 0, 2, 4));
        assert_eq!(encoded[1], (0x05, 0, 0, 0, 0));
    }

    #[test]
    fn refuses_a_jump_to_nowhere_and_one_backwards() {
        let mut a = Assembler::default();
        let label = a.label();
        a.jump(label);
        assert_eq!(a.assemble(), Err(AssemblyError::Unplaced { from: 0 }));

        let mut a = Assembler::default();
        let label = a.label();
        a.place(label);
        a.exit();
        a.jump(label);
        assert_eq!(a.assemble(), Err(AssemblyError::Distance { from: 1, to: 0 }));
    }
}
