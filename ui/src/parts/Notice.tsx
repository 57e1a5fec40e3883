import type { ReactNode } from "react";
import { GONE, type Problem } from "../api/client";
import type { Messages } from "../lib/messages";
import { useWords } from "../lib/settings";
import { Icon } from "./Icon";

interface NoticeProps {
  kind: "info" | "warn" | "error";
  title: string;
  children?: ReactNode;
  actions?: ReactNode;
}

/** A plain message where it happened. Errors and warnings are read out at once. */
export function Notice({ kind, title, children, actions }: NoticeProps) {
  return (
    <div className={`notice ${kind}`} role={kind === "error" ? "alert" : "status"}>
      <Icon name={kind === "info" ? "info" : "warn"} />
      <div className="notice-words">
        <strong>{title}</strong>
        {children && <div>{children}</div>}
      </div>
      {actions && <div className="notice-actions">{actions}</div>}
    </div>
  );
}

function titleOf(problem: Problem, t: Messages): string {
  if (problem.code === GONE) return t.goneTitle;
  if (problem.code === "stopped") return t.stoppedTitle;
  if (problem.status === 401) return t.signedOutTitle;
  if (problem.status === 403) return t.deniedTitle;
  if (problem.status === 404 || problem.status === 410) return t.missingTitle;
  if (problem.status === 429 || problem.status === 503) return t.busyTitle;
  return problem.status >= 400 && problem.status < 500 ? t.refusedTitle : t.failedTitle;
}

function textOf(problem: Problem, t: Messages): string {
  if (problem.code === GONE) return t.goneText;
  if (problem.code === "stopped") return t.stoppedText;
  return problem.message;
}

/** What went wrong, with the id by which the log knows it, and the way to ask again. */
export function ProblemNotice({ problem, retry }: { problem: Problem; retry?: () => void }) {
  const t = useWords();
  return (
    <Notice
      kind="error"
      title={titleOf(problem, t)}
      actions={
        retry && (
          <button type="button" className="button" onClick={retry}>
            {t.retry}
          </button>
        )
      }
    >
      {textOf(problem, t)}
      {problem.requestId && <span className="request-id">{t.requestId(problem.requestId)}</span>}
    </Notice>
  );
}
