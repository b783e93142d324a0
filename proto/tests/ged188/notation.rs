//! The notations of the samples (Scala lists, Haskell records), as far as they are needed to compare.

/// What a sample says is in its message.
#[derive(Debug, Default)]
pub struct Expected {
    pub fixed: Vec<Item>,
    pub floating: Vec<Item>,
}

/// One field: its name in our spelling, and the literals or the names of its value.
#[derive(Debug, Default)]
pub struct Item {
    pub name: String,
    pub words: Vec<String>,
    texts: Vec<String>,
    numbers: Vec<u64>,
}

/// What the samples spell otherwise, letters and digits only.
const SPELLINGS: &[(&str, &str)] = &[
    ("devid", "deviceid"),
    ("callmsgmask", "callmessagemask"),
    ("configmsgmask", "configmessagemask"),
    ("servicegranted", "servicesgranted"),
    ("servicerequested", "servicesrequested"),
    ("callvar", "callvariable"),
    ("apppathid", "applicationpathid"),
    ("ccdown", "centralcontrollerdown"),
];

/// Whole names that the samples have otherwise.
const NAMES: &[(&str, &str)] = &[
    ("icmcentralcontrollertime", "centralcontrollertime"),
    ("statuscode", "status"),
    ("rtpdirection", "direction"),
    ("numfltskillgroups", "numskillgroups"),
    ("clienteventstate", "state"),
    ("ced", "callerentereddigits"),
    ("callerentereddigit", "callerentereddigits"),
    ("routercallkeysequencenum", "routercallkeysequencenumber"),
    ("usertouserinfo", "uui"),
    ("secondaryconncallid", "secondaryconnectioncallid"),
    ("multilineagnetcontrol", "multilineagentcontrol"),
    ("floatfieldtext", "text"),
    ("callconncallid", "callconnectioncallid"),
    ("callconndeviceidtype", "callconnectiondeviceidtype"),
    ("callconndeviceid", "callconnectiondeviceid"),
    ("skillgroupnumberf", "skillgroupnumber"),
    ("skillgroupidf", "skillgroupid"),
    ("skillgrouppriorityf", "skillgrouppriority"),
    ("connectionstate", "localconnectionstate"),
    ("medvariables", "numnamedvariables"),
    ("medarrays", "numnamedarrays"),
    ("partycallid", "connectedpartycallid"),
    ("partydeviceidtype", "connectedpartydeviceidtype"),
    ("partydeviceid", "connectedpartydeviceid"),
];

/// A name without case and punctuation, in our spelling.
pub fn plain(name: &str) -> String {
    let letters = name.chars().filter(char::is_ascii_alphanumeric);
    let mut plain: String = letters.map(|letter| letter.to_ascii_lowercase()).collect();
    for (theirs, ours) in SPELLINGS {
        if !plain.contains(ours) {
            plain = plain.replace(theirs, ours);
        }
    }
    let known = NAMES.iter().find(|(theirs, _)| *theirs == plain);
    known.map_or(plain, |(_, ours)| (*ours).to_owned())
}

impl Item {
    /// Reads the value: numbers, texts in quotes, or names, of which only the innermost counts.
    fn new(name: &str, value: &str) -> Self {
        let mut item = Self {
            name: plain(name.trim_end_matches("Tag")),
            ..Self::default()
        };
        for (at, piece) in value.split('"').enumerate() {
            if at % 2 == 1 {
                item.texts.push(piece.to_owned());
            } else {
                piece
                    .split(|c: char| !c.is_alphanumeric() && !"._".contains(c))
                    .for_each(|word| item.take(word));
            }
        }
        if !item.texts.is_empty() || !item.numbers.is_empty() {
            item.words.clear();
        }
        item
    }

    fn take(&mut self, word: &str) {
        const NOISE: [&str; 14] = [
            "",
            ".",
            "Some",
            "BitSet.empty",
            "SafeEnum",
            "Right",
            "CtiOpt",
            "CtiOpt0",
            "Just",
            "fromList",
            "Short",
            "Byte",
            "pack",
            "ByteString",
        ];
        let digits = word.trim_end_matches(".toShort");
        let number = match digits.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16).ok(),
            None => digits.parse().ok(),
        };
        if let Some(number) = number {
            self.numbers.push(number);
        } else if !NOISE.contains(&word) {
            let name = word.rsplit('.').next().unwrap_or(word);
            self.words.push(spelled(name.trim_end_matches("Mask")));
        }
    }

    /// The value, where it is one number.
    pub fn number(&self) -> Option<u64> {
        match self.numbers[..] {
            [number] if self.texts.is_empty() => Some(number),
            _ => None,
        }
    }

    /// The bytes that mean the value in a floating field: a number in each width, texts with their NUL, plain bytes.
    pub fn encoded(&self) -> Vec<Vec<u8>> {
        let octets: Vec<u8> = self
            .numbers
            .iter()
            .filter_map(|number| u8::try_from(*number).ok())
            .collect();
        let texts = self.texts.iter().flat_map(|text| [text.as_bytes(), &[0]].concat());
        let plain: Vec<u8> = octets.into_iter().chain(texts).collect();
        let number = self.number().map(u64::to_be_bytes);
        let widths = number
            .into_iter()
            .flat_map(|octets| [octets[4..].to_vec(), octets[6..].to_vec()]);
        widths.chain([plain]).collect()
    }
}

/// Names of values that the samples have otherwise.
fn spelled(word: &str) -> String {
    let word = plain(word);
    match word.as_str() {
        "noidletimeout" | "nothing" => "none".to_owned(),
        "ctibooltrue" => "true".to_owned(),
        "agentmodenotroutable" | "multilineagentcontrolsinglelineonly" => "false".to_owned(),
        "deviceidtrunk" => "trunkidentifier".to_owned(),
        "disconnectdrophandledprimaryroute" => "handledprimaryroute".to_owned(),
        _ => word,
    }
}

/// `(List((Name, value), …)`; names of floating fields are in capitals.
pub fn scala(text: &str) -> Expected {
    let list = text.rsplit("(List(").next().unwrap_or_default();
    let mut expected = Expected::default();
    for group in groups(list) {
        let (name, value) = group.split_once(',').unwrap_or((group, ""));
        if name == "MessageTypeTag" {
            continue;
        }
        let in_fixed = name.contains(char::is_lowercase) || name == "MRDID";
        let part = if in_fixed {
            &mut expected.fixed
        } else {
            &mut expected.floating
        };
        part.push(Item::new(name, value));
    }
    expected
}

/// `fixed = Message MessageR { messageName = value , … } float = FloatPart [ Name value , … ] …`, or
/// `fixed = Message $ MessageR (value) … name raw …` for short ones.
pub fn haskell(text: &str) -> Expected {
    let (fixed, floating) = text.split_once("float = FloatPart [").unwrap_or((text, ""));
    let fixed = fixed.split_once("fixed = ").map_or("", |(_, fixed)| fixed);
    Expected {
        fixed: match fixed.split_once('{') {
            Some((message, fields)) => record(message, fields),
            None => positions(fixed),
        },
        floating: split(floating.rsplit_once("] name").map_or("", |(list, _)| list))
            .map(tagged)
            .collect(),
    }
}

fn record(message: &str, fields: &str) -> Vec<Item> {
    let constructor = message.trim().rsplit(' ').next().unwrap_or_default();
    let prefix = constructor.len() - 1;
    let field = |field: &str| {
        let (name, value) = field.trim().split_once(" = ")?;
        Some(Item::new(name.get(prefix..)?, value))
    };
    split(fields.rsplit_once('}').map_or("", |(fields, _)| fields))
        .filter_map(field)
        .collect()
}

fn positions(fixed: &str) -> Vec<Item> {
    let values = fixed.split_once(" name raw").map_or("", |(values, _)| values);
    let item = |group: &str| match group.split_once(' ') {
        Some(("SafeEnum", value)) => Item::new("status", value),
        Some((name, value)) => Item::new(name, value),
        None => Item::new(group, ""),
    };
    groups(values).into_iter().map(item).collect()
}

fn tagged(field: &str) -> Item {
    let (name, value) = field.trim().split_once(' ').unwrap_or((field, ""));
    let words = [
        "Unspec131",
        "Unspec32",
        "NamedVar ",
        "NamedArr ",
        "fromWord8List",
        "CallID ",
    ];
    Item::new(
        name,
        &words
            .iter()
            .fold(value.to_owned(), |value, word| value.replace(word, " ")),
    )
}

/// The fields of a list or record.
fn split(list: &str) -> impl Iterator<Item = &str> {
    list.split(" , ").filter(|field| !field.trim().is_empty())
}

/// The outermost groups in parentheses, without these.
fn groups(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut quoted, mut groups) = (0, 0, false, Vec::new());
    for (at, letter) in text.char_indices() {
        match letter {
            '"' => quoted = !quoted,
            '(' if !quoted => {
                depth += 1;
                if depth == 1 {
                    start = at + 1;
                }
            }
            ')' if !quoted => {
                depth -= 1;
                if depth == 0 {
                    groups.push(&text[start..at]);
                } else if depth < 0 {
                    break;
                }
            }
            _ => {}
        }
    }
    groups
}
