/**
 * JSON from a file that nobody vouches for. `JSON.parse` lets the last of two equal keys win, and
 * takes a multiple of the text's size in memory where the text is made for that; here keys are
 * unique, nesting has a bound, and what need not be kept is only looked at.
 */
import { brief, escaped, hasHalfPair, quoted } from './quote.ts';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/**
 * Deeper nesting is refused; the reference implementation of safetensors refuses it from here on
 * too.
 */
const DEEPEST = 127;

/** What a value may cost in memory and time. */
export interface Allowance {
  /** Bytes that may still be taken. */
  left: number;
  /** Different keys so far: the engine keeps each for itself, at a microsecond. */
  readonly keys: Set<string>;
  /** Different keys that there may be. */
  readonly mostKeys: number;
}

/** Bytes that an object, an array, a key and a number take at most, as V8 lays them out. */
const COST = { object: 160, array: 48, key: 96, item: 16, text: 32 } as const;

/** Sets an own property whatever its name: `__proto__` is a name like others. */
export function putOwn(object: object, key: string, value: unknown): void {
  if (key !== '__proto__') (object as Record<string, unknown>)[key] = value;
  else Object.defineProperty(object, key, { value, enumerable: true, writable: true, configurable: true });
}

/**
 * Keys of one object that are looked at for being there twice, where no reader takes them for
 * anything.
 */
const MOST_KEYS = 64;

/**
 * Whether a key was there before; of an object whose values are not kept, only the first keys
 * count.
 */
export function firstKeys(): (key: string) => boolean {
  let keys: Set<string> | undefined;
  return (key) => {
    keys ??= new Set();
    return keys.size < MOST_KEYS ? keys.size === keys.add(key).size : keys.has(key);
  };
}

/** Reads one JSON text from its start to its end. */
export class JsonReader {
  readonly #text: string;
  readonly #fail: (what: string, at: number) => never;
  readonly #halves: boolean;
  readonly #python: boolean;
  #at = 0;

  /**
   * @param fail - Throws; `at` is a position in the text.
   * @param options - `halves`: whether a string's value may hold half a surrogate pair. `python`:
   * whether NaN and Infinity are numbers, as Python's `json` writes them.
   */
  constructor(
    text: string,
    fail: (what: string, at: number) => never,
    options: { halves?: boolean; python?: boolean } = {},
  ) {
    this.#text = text;
    this.#fail = fail;
    this.#halves = options.halves === true;
    this.#python = options.python === true;
  }

  /** The position that the next error is about. */
  get position(): number {
    return this.#at;
  }

  /** The first character of the next value; empty at the end. */
  peek(): string {
    const text = this.#text;
    let code = text.charCodeAt(this.#at);
    while (code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09) code = text.charCodeAt(++this.#at);
    return text[this.#at] ?? '';
  }

  fail(what: string, at: number = this.#at): never {
    return this.#fail(what, at);
  }

  #expect(char: string, where: string): void {
    if (this.peek() !== char) this.#unexpected(`"${char}" ${where}`);
    this.#at++;
  }

  #unexpected(expected: string): never {
    const char = this.peek();
    this.#fail(`it is not valid JSON: expected ${expected}, got ${char === '' ? 'its end' : quoted(char)}`, this.#at);
  }

  /** Nothing may follow. */
  end(): void {
    if (this.peek() !== '') this.#unexpected('its end');
  }

  /** The members of an object: `each` reads the value. A key twice is refused. */
  members(each: (key: string) => void, seen: (key: string) => boolean): void {
    this.#expect('{', 'at the start of an object');
    if (this.peek() === '}') {
      this.#at++;
      return;
    }
    for (;;) {
      this.peek();
      const at = this.#at;
      const key = this.string();
      if (seen(key)) this.#fail(`it has the key ${quoted(key)} twice`, at);
      this.#expect(':', 'after a key');
      each(key);
      if (this.peek() === ',') {
        this.#at++;
        continue;
      }
      this.#expect('}', 'or "," after a value');
      return;
    }
  }

  /** The items of an array: `each` reads one. */
  items(each: () => void): void {
    this.#expect('[', 'at the start of an array');
    if (this.peek() === ']') {
      this.#at++;
      return;
    }
    for (;;) {
      each();
      if (this.peek() === ',') {
        this.#at++;
        continue;
      }
      this.#expect(']', 'or "," after a value');
      return;
    }
  }

  /** A string. */
  string(): string {
    if (this.peek() !== '"') this.#unexpected('a string');
    const text = this.#text;
    const start = this.#at++;
    let slashes = false;
    for (;;) {
      const code = text.charCodeAt(this.#at);
      if (code === QUOTE) break;
      if (code === BACKSLASH) {
        slashes = true;
        this.#at++;
      } else if (!(code >= 0x20))
        this.#fail('it is not valid JSON: a string has a raw control character or no end', this.#at);
      this.#at++;
    }
    this.#at++;
    if (!slashes) return text.slice(start + 1, this.#at - 1);
    let value: string;
    try {
      value = JSON.parse(text.slice(start, this.#at)) as string;
    } catch {
      return this.#fail('it is not valid JSON: a string has a wrong escape sequence', start);
    }
    // UTF-8 cannot hold half of a pair, but an escape can.
    if (!this.#halves && hasHalfPair(value)) this.#fail('a string holds half a surrogate pair', start);
    return value;
  }

  /**
   * A number; `integer` refuses a fraction and an exponent, which JSON.parse would read as the
   * integer it equals.
   */
  number(integer = false): number {
    this.peek();
    const start = this.#at;
    const text = this.#text;
    if (this.#python) {
      for (const word of ['NaN', 'Infinity', '-Infinity']) {
        if (!text.startsWith(word, start)) continue;
        this.#at += word.length;
        return Number(word);
      }
    }
    // Most numbers of a header are short and whole.
    let end = start;
    let value = 0;
    for (let code = text.charCodeAt(end); code >= 0x30 && code <= 0x39 && end - start < 15; ) {
      value = 10 * value + code - 0x30;
      code = text.charCodeAt(++end);
    }
    const next = text[end];
    const short = end > start && (text.charCodeAt(start) !== 0x30 || end === start + 1);
    if (short && (next === ',' || next === ']' || next === '}')) {
      this.#at = end;
      return value;
    }
    while (end - start < 400 && '+-.0123456789eE'.includes(text[end] ?? ' ')) end++;
    const number = text.slice(start, end);
    if (!/^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$/.test(number)) this.#unexpected('a value');
    const fraction = integer ? number.search(/[.eE]/) : -1;
    if (fraction >= 0) this.#fail('it has a fraction or an exponent where an integer belongs', start + fraction);
    this.#at = end;
    return Number(number);
  }

  #word(): boolean | null {
    for (const [word, value] of [
      ['true', true],
      ['false', false],
      ['null', null],
    ] as const) {
      if (!this.#text.startsWith(word, this.#at)) continue;
      this.#at += word.length;
      return value;
    }
    return this.#unexpected('a value');
  }

  /** Reads over a value, and says in a few words what it was. */
  skip(depth = 0): string {
    if (depth > DEEPEST) this.#fail(`it is nested more than ${DEEPEST} deep`, this.#at);
    switch (this.peek()) {
      case '{':
        this.members(() => this.skip(depth + 1), firstKeys());
        return 'an object';
      case '[': {
        const start = this.#at;
        this.items(() => this.skip(depth + 1));
        return this.#at - start <= 20 ? escaped(this.#text.slice(start, this.#at)) : 'an array';
      }
      case '"':
        return quoted(this.string());
      case 't':
      case 'f':
      case 'n':
        return String(this.#word());
      default:
        return brief(this.number());
    }
  }

  /**
   * A value of any kind, as `JSON.parse` would give it.
   *
   * @param allowance - Refused when the value takes more memory than that.
   */
  value(allowance: Allowance, depth = 0): unknown {
    if (depth > DEEPEST) this.#fail(`it is nested more than ${DEEPEST} deep`, this.#at);
    switch (this.peek()) {
      case '{': {
        this.#spend(allowance, COST.object);
        const object = {};
        this.members(
          (key) => {
            this.#spend(allowance, COST.key + key.length);
            if (allowance.keys.add(key).size > allowance.mostKeys)
              this.#fail('it has too many different keys', this.#at);
            putOwn(object, key, this.value(allowance, depth + 1));
          },
          (key) => Object.hasOwn(object, key),
        );
        return object;
      }
      case '[': {
        this.#spend(allowance, COST.array);
        const array: unknown[] = [];
        this.items(() => {
          this.#spend(allowance, COST.item);
          array.push(this.value(allowance, depth + 1));
        });
        return array;
      }
      case '"': {
        const text = this.string();
        this.#spend(allowance, text.length < 2 ? 0 : COST.text + text.length);
        return text;
      }
      case 't':
      case 'f':
      case 'n':
        return this.#word();
      default:
        return this.number();
    }
  }

  #spend(allowance: Allowance, bytes: number): void {
    allowance.left -= bytes;
    if (allowance.left < 0) this.#fail('it unfolds to many times its size', this.#at);
  }
}

/**
 * Bytes that plain data takes at most in memory, counted as {@link JsonReader.value} counts it.
 * @internal
 */
export function costOf(kind: keyof typeof COST, characters = 0): number {
  return kind === 'text' && characters < 2 ? 0 : COST[kind] + characters;
}

/** What a file of so many bytes may unfold to. @internal */
export function allowanceFor(fileSize: number): Allowance {
  return { left: 12 * fileSize + (32 << 20), keys: new Set(), mostKeys: 100_000 + fileSize / 64 };
}
