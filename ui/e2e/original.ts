import type { Page } from "playwright-core";
import { URL_ } from "./browser";

const OBJECT = 'multipart/related; type="application/dicom"';

interface Series {
  study_instance_uid: string;
  series_instance_uid: string;
}

/** The files of a series of the library as it took them, by WADO-RS. */
export async function originals(of: Series, who = {}): Promise<Buffer[]> {
  const path = `studies/${of.study_instance_uid}/series/${of.series_instance_uid}`;
  const answer = await fetch(`${URL_}/dicomweb/${path}`, { headers: { Accept: OBJECT, ...who } });
  if (!answer.ok) throw new Error(`WADO-RS said ${answer.status}`);
  const boundary = /boundary="?([^";]+)/.exec(answer.headers.get("content-type") ?? "")?.[1];
  const body = Buffer.from(await answer.arrayBuffer());
  const files: Buffer[] = [];
  const mark = Buffer.from(`--${boundary}`);
  for (let at = body.indexOf(mark); at >= 0; ) {
    const next = body.indexOf(mark, at + mark.length);
    const head = body.indexOf("\r\n\r\n", at);
    if (next < 0 || head < 0) break;
    files.push(body.subarray(head + 4, next - 2));
    at = next;
  }
  return files;
}

/** Let files fall onto the page, as from a folder of the desktop. */
export async function dropFiles(page: Page, files: readonly Buffer[], ending = "dcm") {
  const said = files.map((file) => file.toString("base64"));
  await page.evaluate(
    ([contents, after]) => {
      const data = new DataTransfer();
      contents.forEach((content, at) => {
        const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
        data.items.add(new File([bytes], `IM${at}.${after}`));
      });
      for (const kind of ["dragover", "drop"])
        document.body.dispatchEvent(new DragEvent(kind, { dataTransfer: data, bubbles: true }));
    },
    [said, ending] as const,
  );
}
