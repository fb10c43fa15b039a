"""Which class of work a frame belongs to: by names of functions, files of Python's library, statements. Pure.

What is not listed is a program's own code. A name stands here only where it says one thing: `memcpy` may be
anybody's, and is nobody's. Names without a prefix of their own (`visit_decref`) count in their runtime alone:
a program may call its functions as it likes. Of a name the first 120 characters are looked at.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

LOOP, GC, REGEX, SERIAL, LOCK, IO_WAIT = (
    "tight loop", "garbage collection", "regular expression", "serialisation", "lock", "I/O wait",
)  # fmt: skip
FAULTS, ALLOCATION, STARTS, KERNEL, IDLE = "page faults", "allocation", "process starts", "kernel", "idle"
BEGINNINGS = "starts of threads or processes"
"""No class: what the kernel does for both. Who sees processes started counts it to STARTS, else to KERNEL."""

_NAME = 120
_CPYTHON, _JVM, _RUBY, _PHP, _PERL, _LIBC = (
    re.compile(expression)
    for expression in (
        r"(lib)?python[23]?[0-9.]*[a-z]*(\.so.*)?$|_(json|pickle|csv|elementtree|sre)\.cpython-\d|pyexpat\.",
        r"libjvm",
        r"(lib)?ruby",
        r"(lib)?php",
        r"(lib)?perl",
        r"libc(-\d[\d.]*)?\.(so|musl)|ld-(linux|musl|\d)|libpthread",
    )
)  # fmt: skip
NAMELESS = ("[", "0x", "function_at_")
"""How a frame begins that has a place and no name."""
INTERPRETERS = re.compile(
    r"(lib)?(perl|ruby|php|lua|luajit|python|node|js|guile|tcl|tclsh|bash|dash|zsh|[gm]?awk|busybox)[-0-9.]*(\.so[0-9.]*)?$"
)
_Where = re.Pattern[str] | None


def _names(expression: str) -> re.Pattern[str]:
    return re.compile(expression, re.VERBOSE)


# What a function's name begins with, in the order in which classes are asked for; in which files it counts.
_FUNCTIONS: tuple[tuple[str, _Where, re.Pattern[str]], ...] = (
    (GC, _CPYTHON, _names(r"""
        _?(gc_collect|PyGC_Collect|gc_run|visit_(decref|reachable|move)|subtract_refs|update_refs|
        delete_garbage|
        move_(unreachable|legacy)|deduce_unreachable|untrack_(tuples|dicts)|gc_list_|gc_(mark|visit|
        propagate)|
        mark_(alive|heap_visitor|stacks)|update_unreachable_bits|_PyObject_VisitInstanceAttributes|_?PyGC_)|
        (dict|tuple|list|subtype|func|cell|set|gen|type)_?traverse
    """)),
    (GC, None, _names(r"""
        runtime\.\(?\*?(gc[A-Z_]|scan(object|block|stack)|greyobject|markroot|bgsweep|bgscavenge|wbBuf|
        sweepone|
        mspan\)\.(sweep|markBits)|sweepLocked|gcWork|findObject|heapBits|typePointers|memclrHasPointers)|
        v8::internal::(\(anonymous\ namespace\)::)?(Scaveng|MarkCompact|Mark(er|ing)|Concurrent(Mark|Sweep)|
        Sweeper|
        MinorMark|Heap::(CollectGarbage|Scavenge|PerformGarbage)|Evacuat|PointersUpdating|YoungGeneration|
        IncrementalMarking|BodyDescriptorBase::IteratePointers)
    """)),
    (GC, _JVM, _names(r"""
        (G1|PS|Parallel|Shenandoah|Z)[A-Z]?\w*(Mark|Evac|Scan|Compact|Young|Old|Closure|Task|Worker|Collect|
        Copy)|
        \w*(oop_iterate|OopIterate|GenCollect|MarkSweep|ParScanThreadState|RootProcess|GCTask|DefNew|
        Compactible)
    """)),
    (GC, _RUBY, _names(r"rgengc|rb_gc|gc_(mark|sweep|start|marks|rest)")),
    (GC, _PHP, _names(r"zend_gc_|gc_(mark|scan|collect)_")),
    (REGEX, _CPYTHON, _names(r"""
        _?sre_|SRE_|_?pattern_(subx|findall|match)|state_init|getslice|
        _?expand_template
    """)),
    (REGEX, None, _names(r"""
        (regexp|regexp/syntax)\.|RegExp:|L?java[./]util[./]regex|pcre2?_|Builtins_RegExp|
        (v8::internal::)?(RegExp|Irregexp|NativeRegExp|BytecodeRegexp)|v8::internal::\w*RegExp|
        _*(re_search|re_match|regexec|regcomp|re_compile)|std::__detail::_(Executor|NFA|Compiler)|(re2|
        onig)::|onig_|
        <?(regex|regex_automata|regex_syntax|aho_corasick|fancy_regex)(\[[0-9a-f]+\])?::|S_reg(match|try|
        repeat)|
        Perl_re(gexec|_intuit)
    """)),
    (REGEX, _LIBC, _names(r"""
        (sift|check|build|proceed|transit|group|update|merge|prune|expand)_\w*(node|
        state|match|fa)
    """)),
    (SERIAL, _CPYTHON, _names(r"""
        _?(scan_once|scanstring|parse_(object|array|string)_unicode|encoder_(listencode|call)|ascii_escape)|
        py_encode_basestring|_?match_number_unicode|_parse_(object|array)|_?(save|load|dump)_\w+|_?pickle_|
        _Pickle|
        (batch_|memo_put|_Unpickler|_Pickler)|marshal_|[rw]_object|XML_|_?(doContent|doProlog)
    """)),
    (SERIAL, None, _names(r"""
        (encoding/(json|xml|gob|csv|binary|base64)|google\.golang\.org/protobuf|encoding/asn1)\b|
        Builtins_Json|
        v8::internal::(Json|\w*Serializer|\w*Deserializer)|xmlParse|xmlSAX|XML_|yyjson|php_json|cJSON_|
        L?(com[./]fasterxml|com[./]google[./](gson|protobuf)|org[./]json|java[./]io[./]Object(In|Out)put|
        org[./]yaml|jakarta[./]json)|(simdjson|rapidjson|nlohmann|google::protobuf)::|
        <?(serde(_json|_yaml)?|bincode|prost|rmp_serde|quick_xml)(\[[0-9a-f]+\])?::
    """)),
    (LOCK, _CPYTHON, _names(r"""
        take_gil|drop_gil|_?PyThread_acquire_lock|acquire_timed|rlock_acquire|lock_PyThread|_?PyMutex
    """)),
    (LOCK, None, _names(r"""
        _*(GI_)?_*(pthread_(mutex|spin|rwlock)_\w*lock|lll_(lock|mutex))|_*(x64_sys_)?futex_?|do_futex|
        native_queued_spin_lock|queued_spin_lock|mutex_spin|rwsem_spin|osq_lock|
        runtime\.(lock2|unlock2|procyield|osyield|futex|semacquire|semrelease)|sync\.\(\*(Mutex|RWMutex)\)|
        internal/sync\.\(\*Mutex|L?java[./]util[./]concurrent[./]locks|parking_lot(_core)?::|
        <?std::sys::(sync|pal|futex)\S*(mutex|futex|rwlock|condvar)|std::sync::\S*(mutex|poison)
    """)),
    (LOCK, _JVM, _names(r"(ObjectMonitor|ObjectSynchronizer|Monitor::|Mutex::|Unsafe_Park|Parker::)")),
    (ALLOCATION, _CPYTHON, _names(r"""
        _?PyObject_(Malloc|Free|Realloc|Calloc|New|GC_New)|pymalloc_|_?PyMem_|new_arena|list_resize|
        PyType_GenericAlloc|_?PyObject_GC_|_Py_NewReference
    """)),
    (ALLOCATION, None, _names(r"""
        _*(libc_)?(malloc|calloc|realloc|free|cfree|memalign|posix_memalign|aligned_alloc)$|operator\ (new|
        delete)|
        runtime\.(malloc|newobject|makeslice|growslice|newarray|nextFree|mcache|mcentral|mheap|memclrNoHeap|
        \(\*m(cache|central|heap|span)\)|publicationBarrier|rawstring|rawbyteslice|deductAssistCredit)|
        v8::internal::(Factory|FactoryBase|\w*Allocat|NewSpace|PagedSpace|LocalHeap|Heap::(Allocate|Reserve))|
        Builtins_\w*Allocat|Builtins_(FastNew|Grow)|_Znwm|_ZdlPv|__rust_(alloc|dealloc|realloc)|__rdl_|
        alloc::alloc::|
        (je|mi|tc)_(malloc|calloc|realloc|new|free|heap)
    """)),
    (ALLOCATION, _LIBC, _names(r"""
        _*int_(malloc|free|realloc)|malloc_consolidate|unlink_chunk|sysmalloc|systrim|tcache_|arena_get|
        _mid_memalign
    """)),
    (ALLOCATION, _JVM, _names(r"""
        (MemAllocator|CollectedHeap|InstanceKlass::allocate|TypeArrayKlass|ObjArrayKlass|
        ThreadLocalAllocBuffer|
        OptoRuntime::new_)
    """)),
    (ALLOCATION, _RUBY, _names(r"newobj|rb_newobj|objspace_x?malloc")),
    (ALLOCATION, _PHP, _names(r"_(emalloc|efree|safe_malloc)")),
    (ALLOCATION, _PERL, _names(r"Perl_safesys")),
)  # fmt: skip
_KERNEL: tuple[tuple[str, re.Pattern[str]], ...] = (
    (FAULTS, _names(r"""
        (asm_)?exc_page_fault|do_user_addr_fault|_*handle_mm_fault|_*alloc_(anon_)?folio|
        get_page_from_freelist|
        do_(anonymous_page|fault|wp_page|swap_page|pte_missing|huge_pmd)|prep_new_page|kernel_init_pages|
        clear_(page|huge_page|user_highpage|subpage|folio)|folio_zero|vma_alloc|do_translation_fault|el0_da|
        lru_(add|gen)|(un)?charge_memcg|try_charge|_*(zap_|unmap_(page|vmas|region)|tlb_(finish|flush|batch))|
        free_pages_and_swap|release_pages|free_unref|madvise|do_madvise|wp_page_copy|rmqueue|__pte_alloc|
        mem_cgroup_\w*charge|_*(x64_sys_|vm_)m(un)?map|do_vmi_munmap|exit_mmap
    """)),
    (STARTS, _names(r"""
        _*(do_|x64_)?sys_(fork|vfork|execve|exit_group|wait4|waitid)|dup_mm(ap)?|_*do_execve|bprm_|
        copy_(mm|page_range|pte_range|present_ptes)|begin_new_exec|load_elf_|elf_map|exit_mm$|
        do_group_exit|wait_task_zombie|do_wait$|wait_for_vfork
    """)),
    (BEGINNINGS, _names(r"""
        _*(do_|x64_)?sys_(clone|exit)|kernel_clone|copy_process|do_exit|release_task
    """)),
    (LOCK, _names(r"""
        _*(x64_sys_)?futex_|do_futex|_*x64_sys_futex|native_queued_spin_lock|osq_lock|
        rwsem_\w*slow
    """)),
    (IO_WAIT, _names(r"""
        _*(io_schedule|blk_|submit_bio|folio_wait|wait_on_page|ext4_(sync|file_write|writepages)|nvme_|
        scsi_|read_pages)
    """)),
)  # fmt: skip
_MODULES: Mapping[str, str] = {
    "_json.": SERIAL, "_pickle.": SERIAL, "pyexpat.": SERIAL, "_csv.": SERIAL, "_elementtree.": SERIAL,
    "orjson.": SERIAL, "ujson.": SERIAL, "libexpat.": SERIAL, "libxml2.": SERIAL, "libyaml": SERIAL,
    "_yaml.": SERIAL, "libjson": SERIAL, "libpcre": REGEX, "_regex.": REGEX, "libonig": REGEX,
    "_posixsubprocess.": STARTS, "libjemalloc": ALLOCATION, "libtcmalloc": ALLOCATION,
    "libmimalloc": ALLOCATION,
}  # fmt: skip

# Files of Python's own and other well-known libraries, by their end or by a folder in them.
_LIBRARY = r"(/lib/python[23][0-9.]*|/dist-packages|/site-packages)/"
_IN_LIBRARIES: tuple[tuple[str, str], ...] = (
    (REGEX, r"(re/\w+|re|sre_compile|sre_parse|fnmatch|regex/\w+)"),
    (SERIAL, r"(json/\w+|pickle|csv|plistlib|xmlrpc/\w+|base64|copyreg|xml/[\w/]+)"),
    (SERIAL, r"(yaml|simplejson|ujson|orjson|msgpack|google/protobuf|lxml|marshmallow|bson|toml)/[\w/]+"),
    (STARTS, r"(subprocess|multiprocessing/(popen_\w+|process|util))"),
)
_FILES = tuple((word, re.compile(rf"{_LIBRARY}{place}\.py$")) for word, place in _IN_LIBRARIES)
_LOCKED = re.compile(_LIBRARY + r"(threading|multiprocessing/synchronize|filelock/\w+)\.py$")
_LOCK_NAMES = frozenset(("acquire", "_acquire_restore", "__enter__"))

# What a statement calls, where nothing else is known of the code below it.
_CALLS: tuple[tuple[str, re.Pattern[str]], ...] = (
    (REGEX, _names(r"""
        \b(re|regex)\.(match|search|findall|finditer|sub|subn|split|fullmatch|compile)\(|
        \.(finditer|fullmatch|subn)\(|\b[A-Z_]+\.findall\(
    """)),
    (SERIAL, _names(r"""
        \b(json|pickle|marshal|yaml|orjson|ujson|msgpack|plistlib|toml|tomllib)\.(safe_)?(loads?|dumps?|
        packb|unpackb)\(|
        \b(csv\.(reader|writer|DictReader|DictWriter)|(ET|etree|ElementTree)\.(parse|fromstring|tostring|
        XML))\(|
        \bJSON\.(parse|stringify)\(|\.(writerows?|SerializeToString|ParseFromString)\(
    """)),
    (GC, re.compile(r"\bgc\.collect\(|System\.gc\(|runtime\.GC\(")),
    (STARTS, _names(r"""
        \bsubprocess\.|\bos\.(fork|system|popen|posix_spawn|spawn\w+)\(|\bPopen\(|\.(spawnSync|execSync)\(
    """)),
    (LOCK, re.compile(r"\.acquire\(|^\s*with ([\w.]*[._])?(\w*_)?r?lock\w*:", re.IGNORECASE)),
)  # fmt: skip
_GC_THREADS = re.compile(r"(G1 |GC Thread|GC task|Parallel GC|CMS|ZGC|Shenandoah|Concurrent Mark)")


def class_of(name: str, module: str | None = None) -> str | None:
    """The class of a function by its name and the file it is in; None: it says nothing."""
    text, file = name[:_NAME], (module or "").rpartition("/")[2][:_NAME]
    bare = text.partition("(")[0].rpartition(" ")[2]  # behind what Java's functions return
    for word, where, expression in _FUNCTIONS:
        is_there = where is None or where.match(file)
        if is_there and (expression.match(text) or expression.match(bare)):
            return word
    return next((word for start, word in _MODULES.items() if file.startswith(start)), None)


_QUALIFIED = (":", ".", "/", "Builtins_")
_SHARED_CODE = re.compile(  # of well-known authors; in any other library a name is its author's
    r"lib(c(-\d[\d.]*)?|pthread|stdc\+\+|c\+\+|go|xml2|expat|pcre[\w-]*|onig|re2|yaml[\w-]*|json[\w-]*|jemalloc"
    r"|tcmalloc\w*|mimalloc|jvm|node|v8\w*|(perl|ruby|php|lua|python)[\w.-]*)\.(so|musl)|ld-(linux|musl|\d)|\["
    r"|.*\.cpython-\d|(perl|ruby|php|lua|python|node|java|js|guile|tcl)"
)


def is_by_name_alone(name: str, module: str | None) -> bool:
    """Whether a function of a class may as well be the program's own: a plain C name, in no library.

    A program that carries its own allocator has one; all other names are anybody's.
    """
    file = (module or "[").rpartition("/")[2][:_NAME]
    is_plain = not any(mark in name[:_NAME] for mark in _QUALIFIED)
    return is_plain and not _SHARED_CODE.match(file) and class_of(name, module) not in (None, ALLOCATION)


def kernel_class_of(name: str) -> str | None:
    """The class of a kernel function that says more than that the kernel works."""
    text = name[:_NAME]
    return next((word for word, expression in _KERNEL if expression.match(text)), None)


def python_class_of(name: str, file: str | None) -> str | None:
    """The class of a Python function of a well-known library."""
    if file is None:
        return None
    tail = file[-_NAME:]
    for word, expression in _FILES:
        if expression.search(tail):
            return word
    is_lock = _LOCKED.search(tail) and name.rpartition(".")[2] in _LOCK_NAMES
    return LOCK if is_lock else None


def statement_class_of(source_line: str | None) -> str | None:
    """The class of what a line of source calls."""
    text = (source_line or "")[:400]
    return next((word for word, expression in _CALLS if expression.search(text)), None)


def is_collector(thread_name: str | None) -> bool:
    """Whether a thread of a virtual machine does nothing but collect garbage."""
    return _GC_THREADS.match(thread_name or "") is not None
