import { expect, test } from "vitest";
import { createEventParser } from "./sse";

const STREAM = 'event: text\ndata: {"text":"a"}\n\n: a comment\n\nevent: end\r\ndata: {\r\ndata: }\r\n\r\ndata:x\n\nevent: text\ndata: cut';

test("events are the same however the stream is cut", () => {
  const expected = [
    { event: "text", data: '{"text":"a"}' },
    { event: "end", data: "{\n}" },
    { event: "message", data: "x" },
  ];
  for (let size = 1; size <= STREAM.length; size++) {
    const parse = createEventParser();
    const events = [];
    for (let at = 0; at < STREAM.length; at += size) events.push(...parse(STREAM.slice(at, at + size)));
    expect(events).toEqual(expected);
  }
});

test("an endless event is refused", () => {
  const parse = createEventParser();
  expect(() => {
    for (let index = 0; index < 20; index++) parse("x".repeat(100_000));
  }).toThrow("too long");
});
