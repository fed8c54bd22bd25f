//! Answers and streams that say what they used, in words that come near to it.

use super::*;

const WORDS: &[&str] = &[
    "{\"model\":\"m\",\"choices\":[],",
    "{\"choices\":[{\"a\":\"\\\"usage\\\":\"}],",
    "{\"response\":{\"model\":\"n\",",
    "\"usage\":{\"total_tokens\":12}",
    "\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3}",
    "\"usage\":null",
    "\"usage\" : ",
    "[[{",
    "}]]",
    "{",
    "}",
    "}",
    "}}",
    ",",
    ":",
    "|",
    "|",
    "data: ",
    "data:",
    "\n",
    "\n\n",
    "\n\n",
    "\r\n\r\n",
    "\r",
    "\u{feff}",
    ": note",
];

proptest! {
    #![proptest_config(cases(4000))]

    #[test]
    fn an_answer_says_the_same_however_it_is_cut(
        choice in 0_u8..4,
        size in 0_u8..40,
        words in text(WORDS, 24),
    ) {
        usage_meter::check(&[&[choice, size], words.as_slice()].concat());
    }

    #[test]
    fn what_is_taken_out_is_the_extra_event_however_it_is_cut(
        size in 0_u8..40,
        words in text(WORDS, 30),
    ) {
        usage_swallow::check(&[&[size], words.as_slice()].concat());
    }
}
