/** A runbook: what users feel, what to look at, and what to do about a reason. */

import { useEffect, useState } from "preact/hooks";
import { fetchRunbook } from "./api";
import { useHeading } from "./hooks";
import { type Block, type Inline, parseMarkdown } from "./markdown";
import { checkLink, linkToRunbook } from "./route";

export function RunbookPage({ name }: { name: string }) {
  const heading = useHeading<HTMLHeadingElement>(`Runbook for ${name}`);
  const [blocks, setBlocks] = useState<Block[] | null>(null);
  const [failure, setFailure] = useState("");
  useEffect(() => {
    fetchRunbook(name).then(
      (text) => setBlocks(parseMarkdown(text)),
      (error: Error) => setFailure(error.message),
    );
  }, [name]);
  return (
    <>
      <h1 ref={heading} tabIndex={-1}>
        Runbook for {name}
      </h1>
      {failure !== "" && (
        <p role="alert" class="failure">
          {failure}
        </p>
      )}
      <div class="card runbook">{blocks?.map((each, index) => <Part key={index} block={each} />)}</div>
    </>
  );
}

function Part({ block }: { block: Block }) {
  if (block.kind === "heading") return block.level === 1 ? null : <h2>{block.text}</h2>;
  if (block.kind === "paragraph") return <p>{block.parts.map(renderInline)}</p>;
  return (
    <ul>
      {block.items.map((each, index) => (
        <li key={index}>{each.map(renderInline)}</li>
      ))}
    </ul>
  );
}

function renderInline(part: Inline, index: number) {
  if (part.kind === "code") return <code key={index}>{part.text}</code>;
  if (part.kind === "em") return <em key={index}>{part.text}</em>;
  if (part.kind === "strong") return <strong key={index}>{part.text}</strong>;
  if (part.kind === "text") return <span key={index}>{part.text}</span>;
  const link = findTarget(part.target ?? "");
  return link === null ? <span key={index}>{part.text}</span> : <a key={index} href={link}>{part.text}</a>;
}

/** Another runbook, or an address elsewhere. The other pages of the docs are not here, so a link to them stays text. */
function findTarget(target: string): string | null {
  const other = /^([A-Za-z]+)\.md$/.exec(target);
  return other === null ? checkLink(target) : linkToRunbook(other[1] ?? "");
}
