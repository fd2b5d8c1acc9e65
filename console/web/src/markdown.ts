/** The Markdown of runbooks: headings, paragraphs, lists, code, emphasis and links. Whatever else there is stays text. */

export interface Inline {
  kind: "text" | "code" | "em" | "strong" | "link";
  text: string;
  /** Of a link: where it leads. */
  target?: string;
}

export type Block =
  | { kind: "heading"; level: number; text: string }
  | { kind: "paragraph"; parts: Inline[] }
  | { kind: "list"; items: Inline[][] };

export function parseMarkdown(text: string): Block[] {
  const blocks: Block[] = [];
  for (const chunk of text.replace(/\r\n/g, "\n").split(/\n{2,}/)) {
    const lines = chunk.split("\n").filter((each) => each.trim() !== "");
    const heading = /^(#{1,6}) (.*)$/.exec(lines[0] ?? "");
    if (heading !== null) blocks.push({ kind: "heading", level: heading[1]?.length ?? 1, text: heading[2] ?? "" });
    const rest = heading === null ? lines : lines.slice(1);
    if (rest.length === 0) continue;
    const items = splitItems(rest);
    if (items === null) blocks.push({ kind: "paragraph", parts: parseInline(rest.join(" ")) });
    else blocks.push({ kind: "list", items: items.map(parseInline) });
  }
  return blocks;
}

/** The items of a list, or null where the first line begins none. A line without a dash goes on with the item before. */
function splitItems(lines: string[]): string[] | null {
  if (!lines[0]?.startsWith("- ")) return null;
  const items: string[] = [];
  for (const line of lines) {
    if (line.startsWith("- ")) items.push(line.slice(2));
    else items.push(`${items.pop() ?? ""} ${line.trim()}`);
  }
  return items;
}

const INLINE = /`([^`]+)`|\[((?:`[^`]*`|[^\]`])+)\]\(([^)\s]+)\)|\*\*([^*]+)\*\*|\*([^*]+)\*/g;

export function parseInline(text: string): Inline[] {
  const parts: Inline[] = [];
  let end = 0;
  for (const found of text.matchAll(INLINE)) {
    if (found.index > end) parts.push({ kind: "text", text: text.slice(end, found.index) });
    const [whole, code, label, target, strong, em] = found;
    if (code !== undefined) parts.push({ kind: "code", text: code });
    else if (label !== undefined) parts.push({ kind: "link", text: label.replaceAll("`", ""), target: target ?? "" });
    else parts.push({ kind: strong === undefined ? "em" : "strong", text: strong ?? em ?? "" });
    end = found.index + whole.length;
  }
  if (end < text.length) parts.push({ kind: "text", text: text.slice(end) });
  return parts;
}
