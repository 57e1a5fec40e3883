import type { Language } from "../../lib/messages";

/** By its code, what happened to a file, and what to do: as docs/reasons.md has it. */
type Reasons = Record<string, readonly [what: string, todo: string]>;

const AGAIN = "Send it again from the source.";
const EXPORT = "Export it again as DICOM Part 10.";

const en: Reasons = {
  not_dicom: ["Named as an image, but is none.", "Nothing, or find out what wrote it."],
  metadata_table: ["A CSV or TSV file.", "Hand it in with --metadata."],
  dicomdir: ["A DICOMDIR; the files that it names are read themselves.", "Nothing."],
  unreadable: [
    "No permission, a broken link, or a fault of the disk.",
    "Mend it; the next run tries again.",
  ],
  unstable: ["The file was still being written.", "The next run tries again."],
  archive_corrupt: ["An archive that cannot be read, or a damaged file in it.", "Copy it again."],
  archive_encrypted: ["A file in the archive needs a password.", "Unpack it first."],
  archive_bomb: ["It unpacks to far more than its size.", "Look at it with care."],
  archive_nested: ["An archive inside an archive.", "Unpack the outer one."],
  header_corrupt: ["The header cannot be read, or ends before it begins.", AGAIN],
  no_uids: ["No preamble, and no UIDs to go by.", EXPORT],
  no_transfer_syntax: ["It does not say how its pixels are written.", EXPORT],
  unsupported_transfer_syntax: [
    "A private or unknown transfer syntax.",
    "Convert it, for instance with dcmconv or gdcmconv.",
  ],
  no_pixel_data: ["An image without pixels.", AGAIN],
  missing_pixel_attribute: ["Rows, columns or bits are not stated.", "Repair the header."],
  truncated: ["Fewer pixels than it says. It is never filled up.", AGAIN],
  decode_failed: [
    "No decoder could read its compressed pixels.",
    "Send it again; compare with another viewer.",
  ],
  unsupported_photometric: [
    "A colour model that cannot be shown faithfully.",
    "Convert it to RGB or MONOCHROME2.",
  ],
  too_large: [
    "It claims more than the limits allow.",
    "Raise SYNTOPY_MAX_FILE_MB or SYNTOPY_MAX_PIXEL_MB if it is genuine.",
  ],
  blank: ["All pixels have the same value.", "Nothing: there is nothing to find in it."],
  uid_conflict: [
    "Its UID is taken by another picture, which stays.",
    "Find out which is right; remove the wrong study and index again.",
  ],
  series_incomplete_source: [
    "New slices of a series whose earlier ones are gone from where they were.",
    "Put them back; the next run tries again.",
  ],
  encoder_failed: ["No encoder of the library takes it.", "See what the file says in detail."],
  timeout: ["A step took too long.", "Raise SYNTOPY_FILE_SECONDS, then try again."],
  out_of_memory: ["It needed too much memory.", "Raise SYNTOPY_WORKER_MEMORY_MB, then try again."],
  worker_died: ["The decoder crashed on it.", "Report it; it can be tried again."],
  internal_error: [
    "A mistake of ours, met by this file.",
    "Report it with what is said in detail.",
  ],
};

const WIEDER = "Noch einmal von der Quelle senden.";
const EXPORTIEREN = "Noch einmal als DICOM Part 10 exportieren.";
const NAECHSTER = "Der nächste Lauf versucht es wieder.";

const de: Reasons = {
  not_dicom: ["Heißt wie ein Bild, ist aber keines.", "Nichts, oder klären, woher es kommt."],
  metadata_table: ["Eine CSV- oder TSV-Datei.", "Mit --metadata angeben."],
  dicomdir: ["Ein DICOMDIR; die genannten Dateien werden selbst gelesen.", "Nichts."],
  unreadable: ["Kein Zugriff, toter Verweis oder Fehler der Platte.", `Beheben. ${NAECHSTER}`],
  unstable: ["Die Datei wurde gerade noch geschrieben.", NAECHSTER],
  archive_corrupt: ["Das Archiv oder eine Datei darin ist beschädigt.", "Noch einmal kopieren."],
  archive_encrypted: ["Eine Datei im Archiv braucht ein Passwort.", "Erst entpacken."],
  archive_bomb: ["Entpackt wäre es weit größer, als es ist.", "Mit Vorsicht ansehen."],
  archive_nested: ["Ein Archiv in einem Archiv.", "Das äußere entpacken."],
  header_corrupt: ["Der Kopf ist nicht zu lesen oder bricht ab.", WIEDER],
  no_uids: ["Keine Präambel und keine UIDs.", EXPORTIEREN],
  no_transfer_syntax: ["Es sagt nicht, wie seine Pixel geschrieben sind.", EXPORTIEREN],
  unsupported_transfer_syntax: [
    "Eine private oder unbekannte Transfersyntax.",
    "Umwandeln, etwa mit dcmconv oder gdcmconv.",
  ],
  no_pixel_data: ["Ein Bild ohne Pixel.", WIEDER],
  missing_pixel_attribute: [
    "Zeilen, Spalten oder Bits sind nicht genannt.",
    "Den Kopf berichtigen.",
  ],
  truncated: ["Weniger Pixel als angegeben. Es wird nie aufgefüllt.", WIEDER],
  decode_failed: [
    "Kein Decoder konnte die Pixel lesen.",
    "Noch einmal senden; mit einem anderen Viewer vergleichen.",
  ],
  unsupported_photometric: [
    "Ein Farbmodell, das nicht treu zu zeigen ist.",
    "In RGB oder MONOCHROME2 umwandeln.",
  ],
  too_large: [
    "Es will mehr, als die Grenzen erlauben.",
    "SYNTOPY_MAX_FILE_MB oder SYNTOPY_MAX_PIXEL_MB erhöhen, wenn es echt ist.",
  ],
  blank: ["Alle Pixel haben denselben Wert.", "Nichts: darin ist nichts zu finden."],
  uid_conflict: [
    "Seine UID hat schon ein anderes Bild; das bleibt.",
    "Klären, welches stimmt; die falsche Studie entfernen und neu aufnehmen.",
  ],
  series_incomplete_source: [
    "Neue Schichten einer Serie, deren frühere nicht mehr da liegen.",
    `Zurücklegen. ${NAECHSTER}`,
  ],
  encoder_failed: ["Kein Encoder der Bibliothek nimmt es.", "Siehe die Einzelheit der Datei."],
  timeout: ["Ein Schritt dauerte zu lange.", "SYNTOPY_FILE_SECONDS erhöhen, dann noch einmal."],
  out_of_memory: [
    "Es brauchte zu viel Speicher.",
    "SYNTOPY_WORKER_MEMORY_MB erhöhen, dann noch einmal.",
  ],
  worker_died: ["Der Decoder stürzte daran ab.", "Melden; ein neuer Versuch ist möglich."],
  internal_error: ["Ein Fehler von uns, bei dieser Datei.", "Mit der Einzelheit melden."],
};

export const REASONS: Record<Language, Reasons> = { en, de };
