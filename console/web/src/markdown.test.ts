import { expect, test } from "vitest";
import { parseInline, parseMarkdown } from "./markdown";

test("a runbook becomes headings, paragraphs and lists", () => {
  const text = "# RolledBack\n\nTwo lines\nof one.\n\n## What to do\n\n- Correct `spec`\n  and apply it.\n- Wait.\n";
  expect(parseMarkdown(text)).toEqual([
    { kind: "heading", level: 1, text: "RolledBack" },
    { kind: "paragraph", parts: [{ kind: "text", text: "Two lines of one." }] },
    { kind: "heading", level: 2, text: "What to do" },
    {
      kind: "list",
      items: [
        [
          { kind: "text", text: "Correct " },
          { kind: "code", text: "spec" },
          { kind: "text", text: " and apply it." },
        ],
        [{ kind: "text", text: "Wait." }],
      ],
    },
  ]);
});

test.each([
  ["see [`X`](X.md).", [{ kind: "text", text: "see " }, { kind: "link", text: "X", target: "X.md" }, { kind: "text", text: "." }]],
  ["*a* **b**", [{ kind: "em", text: "a" }, { kind: "text", text: " " }, { kind: "strong", text: "b" }]],
  ["`*a*`", [{ kind: "code", text: "*a*" }]],
  ["<b>[x](", [{ kind: "text", text: "<b>[x](" }]],
])("%s", (text, parts) => expect(parseInline(text)).toEqual(parts));
