//! The reasons this crate can give. The numbers are those of `hem.errors.Reason`; a test compares both tables.

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $name:literal;)*) => {
        /// Why a row or a key was refused: stage in the high byte, check in the low byte. `Met` is no refusal.
        #[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
        #[repr(u16)]
        pub enum Reason {
            $($(#[$doc])* $variant = $code,)*
        }

        impl Reason {
            /// Every reason of this crate, in the order of the codes.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name in `hem.errors.Reason`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// The number in columns and in the log.
            #[must_use]
            pub const fn code(self) -> u16 {
                self as u16
            }
        }
    };
}

reasons! {
    /// Nothing to object to.
    #[default]
    Met = 0x0000, "MET";
    /// No byte at all.
    Empty = 0x0101, "EMPTY";
    /// Over the byte budget of a message.
    TooLarge = 0x0102, "TOO_LARGE";
    /// The bytes end inside an item.
    Truncated = 0x0103, "TRUNCATED";
    /// Bytes follow the item.
    TrailingBytes = 0x0104, "TRAILING_BYTES";
    /// A head or a float is longer than its value needs.
    NotShortest = 0x0105, "NOT_SHORTEST";
    /// An indefinite length, or a break without one.
    IndefiniteLength = 0x0106, "INDEFINITE_LENGTH";
    /// Nested below the depth budget.
    TooDeep = 0x0107, "TOO_DEEP";
    /// More data items than the budget.
    TooManyItems = 0x0108, "TOO_MANY_ITEMS";
    /// A text that is not UTF-8.
    BadUtf8 = 0x0109, "BAD_UTF8";
    /// A simple value other than false, true and null, or a reserved head.
    BadSimple = 0x010A, "BAD_SIMPLE";
    /// Map keys that do not rise by their bytes.
    UnsortedKeys = 0x010B, "UNSORTED_KEYS";
    /// A map key that stands twice.
    DuplicateKey = 0x010C, "DUPLICATE_KEY";
    /// Not the tagged array of four parts.
    NotSign1 = 0x010D, "NOT_SIGN1";
    /// Something in the unprotected header.
    UnprotectedHeader = 0x010E, "UNPROTECTED_HEADER";
    /// A protected header other than alg, kid and the typ of evidence.
    BadHeader = 0x010F, "BAD_HEADER";
    /// An algorithm that `hem.cddl` does not list.
    UnknownAlgorithm = 0x0110, "UNKNOWN_ALGORITHM";
    /// A value of another type than its key asks for, or a tag inside a message.
    WrongType = 0x0111, "WRONG_TYPE";
    /// A key that `hem.cddl` does not list.
    UnknownKey = 0x0112, "UNKNOWN_KEY";
    /// A required key is absent.
    MissingKey = 0x0113, "MISSING_KEY";
    /// A value of the right type outside its range.
    WrongValue = 0x0114, "WRONG_VALUE";
    /// Another `eat_profile`.
    WrongProfile = 0x0115, "WRONG_PROFILE";
    /// No key of this kid is enrolled.
    KeyUnknown = 0x0201, "KEY_UNKNOWN";
    /// The header names another algorithm than the enrolled key has.
    AlgorithmMismatch = 0x0202, "ALGORITHM_MISMATCH";
    /// No signature of this algorithm can look like this.
    SignatureMalformed = 0x0203, "SIGNATURE_MALFORMED";
    /// Not a signature of this message by this key.
    SignatureInvalid = 0x0204, "SIGNATURE_INVALID";
    /// Signed by a key that is enrolled for another chip than the claims name.
    UeidMismatch = 0x0205, "UEID_MISMATCH";
    /// Not the one encoding of a public key of its algorithm.
    KeyMalformed = 0x0206, "KEY_MALFORMED";
    /// A public key outside the group of prime order.
    KeyWeak = 0x0207, "KEY_WEAK";
    /// The kid or the UEID is enrolled already.
    KeyTwice = 0x0208, "KEY_TWICE";
}

#[cfg(test)]
mod tests {
    use super::Reason;

    #[test]
    fn codes_rise_and_default_is_met() {
        let codes: Vec<u16> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        assert!(codes.is_sorted_by(|one, other| one < other));
        assert_eq!(Reason::default(), Reason::Met);
        assert_eq!(Reason::NotShortest.name(), "NOT_SHORTEST");
    }
}
