"""How much of Numba's work a function needs: helpers are linked to kernels, and never run alone.

Numba optimises each function by itself and generates its machine code, then links its optimised
form to every caller and does both once more there. For a helper only the last counts. So its own
form is but tidied here, and no machine code is made: a third of the time until the first step.

Numba compiles its own functions (such as ``np.empty``) once for each set of options of the callers.
Kernels and helpers therefore have the same ones, and differ only in these pipelines.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import llvmlite.binding as llvm
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import register_pass
from numba.core.typed_passes import NativeLowering

_ENVIRONMENT = "_ZN08NumbaEnv"  # how the names of Numba's own variables of a function begin


class LinkedLibrary(JITCodeLibrary):  # type: ignore[misc]
    """Code of a helper, to be linked to a kernel and optimised there.

    It never gets into LLVM's hands as a module of its own: making machine code rewrites a module in
    a form in which the kernel's loops are no longer vectorised.
    """

    def _optimize_final_module(self) -> None:
        passes, builder = self._codegen._module_pass_manager(
            loop_vectorize=False, slp_vectorize=False, opt=0, cost="cheap"
        )
        passes.run(self._final_module, builder)

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._verify_declare_only_symbols()
        # The one thing that all callers share: where Numba keeps what a function refers to.
        engine = self._codegen._engine
        for place in self._final_module.global_variables:
            if place.name.startswith(_ENVIRONMENT) and not engine.is_symbol_defined(place.name):
                module = llvm.parse_assembly(f'@"{place.name}" = common global i8* null')
                module.data_layout = self._codegen._data_layout
                module.triple = llvm.get_process_triple()
                self._codegen._add_module(module)
        self._finalize_specific()
        self._finalized = True

    def serialize_using_object_code(self) -> Any:
        return self.serialize_using_bitcode()


@contextmanager
def as_linked(codegen: Any) -> Iterator[None]:
    """Let what is loaded inside be code of helpers, as it was when it was kept."""
    codegen._library_class = LinkedLibrary
    try:
        yield
    finally:
        del codegen._library_class  # what its class says


@register_pass(mutates_CFG=True, analysis_only=False)
class _LowerHelper(NativeLowering):  # type: ignore[misc]
    _name = "lower_helper"

    def run_pass(self, state: Any) -> bool:
        state.library = LinkedLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        return bool(super().run_pass(state))


@register_pass(mutates_CFG=True, analysis_only=False)
class _LowerKernel(NativeLowering):  # type: ignore[misc]
    _name = "lower_kernel"

    def run_pass(self, state: Any) -> bool:
        state.flags.no_cpython_wrapper = False  # a way in for Python
        return bool(super().run_pass(state))


class _Compiler(CompilerBase):  # type: ignore[misc]
    lowering: Any

    def define_pipelines(self) -> list[Any]:
        """Numba's own pipeline with another last stage."""
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.passes = [
            (self.lowering if stage is NativeLowering else stage, description)
            for stage, description in passes.passes
        ]
        passes.finalize()
        return [passes]


class HelperCompiler(_Compiler):
    """Compiles what is only called by kernels."""

    lowering = _LowerHelper


class KernelCompiler(_Compiler):
    """Compiles what Python calls."""

    lowering = _LowerKernel
