//! What can go wrong between a wire and the capture layer, as XDP programs on the interface under test.

use silentmon_ebpf::assembler::Condition::{Equal, NotEqual};
use silentmon_ebpf::assembler::Register::{FramePointer, R0, R1, R2, R3, R4, R6, R7, R8};
use silentmon_ebpf::assembler::Width::{Byte, Double, Half, Word};
use silentmon_ebpf::assembler::{Assembler, Function, Label};
use silentmon_ebpf::sys::{Map, MapKind, Program, ProgramKind, XdpLink};

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Frames with a tag are dropped.
    DropsTagged,
    /// All frames are dropped.
    DropsAll,
    /// The outermost tag is taken out and kept nowhere.
    StripsTag,
    /// Frames are cut after 128 bytes.
    Cuts,
    /// Frames to others are dropped.
    OnlyOwn,
    /// Every fiftieth frame of voice size is dropped.
    LosesTwoPercent,
    /// A byte of every longer frame is changed.
    Damages,
}

/// A fault in effect, until this is dropped.
pub struct Attached {
    _link: XdpLink,
    /// The program reads it.
    _counter: Map<4, 8>,
}

const DROP: i32 = 1;
const PASS: i32 = 2;
/// EtherTypes of tags as they stand in memory, read as a number of the machine.
const TAGS: [u16; 2] = [0x8100_u16.to_be(), 0x88a8_u16.to_be()];
/// Bytes of a voice frame with one tag.
const VOICE: i32 = 218;
const CUT: i32 = 128;

impl Fault {
    /// Whether it drops frames. The verifier wants every instruction to be reachable.
    fn drops(self) -> bool {
        !matches!(self, Self::StripsTag | Self::Cuts | Self::Damages)
    }

    /// Puts the fault into effect on the interface with this number and address.
    pub fn attach(self, interface: u32, own: [u8; 6]) -> std::io::Result<Attached> {
        let counter = Map::create(MapKind::Array, 1)?;
        let mut code = Assembler::default();
        let labels = [code.label(), code.label()];
        let [pass, drop] = labels;
        // R6 the context, R2 where the frame begins, R3 where it ends.
        code.copy(R6, R1);
        code.load(Word, R2, R1, 0);
        code.load(Word, R3, R1, 4);
        match self {
            Self::DropsTagged => {
                let untagged = tagged(&mut code, pass);
                code.jump(drop);
                code.place(untagged);
            }
            Self::DropsAll => {
                longer(&mut code, 1, pass);
                code.jump(drop);
            }
            Self::StripsTag => strip(&mut code, pass),
            Self::Cuts => cut(&mut code, pass),
            Self::OnlyOwn => only(&mut code, own, [pass, drop]),
            Self::LosesTwoPercent => lose(&mut code, &counter, [pass, drop]),
            Self::Damages => {
                longer(&mut code, CUT, pass);
                code.load(Byte, R4, R2, 100);
                code.add(R4, 1);
                code.store(Byte, R2, 100, R4);
            }
        }
        code.place(pass);
        code.set(R0, PASS);
        code.exit();
        if self.drops() {
            code.place(drop);
            code.set(R0, DROP);
            code.exit();
        }
        let code = code.assemble().map_err(std::io::Error::other)?;
        let program = Program::load(ProgramKind::Xdp, &code)?;
        Ok(Attached {
            _link: program.attach_xdp(interface)?,
            _counter: counter,
        })
    }
}

/// Goes on only with frames of at least so many bytes.
fn longer(code: &mut Assembler, bytes: i32, otherwise: Label) {
    code.copy(R4, R2);
    code.add(R4, bytes);
    code.jump_if_above(R4, R3, otherwise);
}

/// Goes on only with tagged frames; answers the label, still to be placed, of the others.
fn tagged(code: &mut Assembler, too_short: Label) -> Label {
    let (is_tagged, untagged) = (code.label(), code.label());
    longer(code, 18, too_short);
    code.load(Half, R4, R2, 12);
    for tag in TAGS {
        code.jump_if(R4, Equal, tag.into(), is_tagged);
    }
    code.jump(untagged);
    code.place(is_tagged);
    untagged
}

/// Moves the addresses over the tag, then takes four bytes off the front.
fn strip(code: &mut Assembler, pass: Label) {
    let untagged = tagged(code, pass);
    code.load(Double, R7, R2, 0);
    code.load(Word, R8, R2, 8);
    code.store(Double, R2, 4, R7);
    code.store(Word, R2, 12, R8);
    code.copy(R1, R6);
    code.set(R2, 4);
    code.call(Function::AdjustHead);
    code.place(untagged);
}

fn cut(code: &mut Assembler, pass: Label) {
    longer(code, CUT + 1, pass);
    // 128 less the frame's length.
    code.subtract_register(R3, R2);
    code.set(R2, CUT);
    code.subtract_register(R2, R3);
    code.copy(R1, R6);
    code.call(Function::AdjustTail);
}

fn only(code: &mut Assembler, own: [u8; 6], [pass, drop]: [Label; 2]) {
    longer(code, 14, pass);
    let foreign = code.label();
    code.load(Byte, R4, R2, 0);
    code.jump_if(R4, Equal, 0xff, pass);
    for (place, byte) in (0..).zip(own) {
        code.load(Byte, R4, R2, place);
        code.jump_if(R4, NotEqual, byte.into(), foreign);
    }
    code.jump(pass);
    code.place(foreign);
    code.jump(drop);
}

fn lose(code: &mut Assembler, counter: &Map<4, 8>, [pass, drop]: [Label; 2]) {
    let voice = code.label();
    longer(code, VOICE, pass);
    code.copy(R4, R2);
    code.add(R4, VOICE + 1);
    code.jump_if_above(R4, R3, voice);
    code.jump(pass);
    code.place(voice);
    code.store_value(Word, FramePointer, -4, 0);
    code.copy(R2, FramePointer);
    code.add(R2, -4);
    code.load_map(R1, counter.number());
    code.call(Function::MapLookup);
    code.jump_if(R0, Equal, 0, pass);
    code.load(Double, R4, R0, 0);
    code.add(R4, 1);
    code.store(Double, R0, 0, R4);
    code.jump_if(R4, NotEqual, 50, pass);
    code.store_value(Double, R0, 0, 0);
    code.jump(drop);
}
