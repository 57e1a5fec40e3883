import { useWords } from "../../lib/settings";
import { Copy } from "../../parts/Copy";
import { Dialog } from "../../parts/Dialog";
import { requestOf } from "./asking";
import { curlOf } from "./curl";
import type { SearchState } from "./state";

/** What is searched for, as a command that asks the same of the service. */
export function AsRequest({ state, onClose }: { state: SearchState; onClose: () => void }) {
  const t = useWords();
  const { body, files } = requestOf(state);
  const { one_study, judge, ...asked } = body;
  const command = curlOf(window.location.origin, files.length ? body : asked, files.length);
  return (
    <Dialog title={t.asRequestTitle} onClose={onClose}>
      <div className="as-request">
        <p>{t.asRequestText}</p>
        {files.length > 0 && <p>{t.asRequestFiles}</p>}
        <pre>
          <code>{command}</code>
        </pre>
        <p className="as-request-acts">
          <Copy words={command} />
          <a href="/v1/openapi.json" target="_blank" rel="noreferrer">
            {t.asRequestDocument}
          </a>
        </p>
      </div>
    </Dialog>
  );
}
