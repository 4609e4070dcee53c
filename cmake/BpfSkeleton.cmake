# add_bpf_skeleton(NAME SOURCES...): compiles each x.bpf.c, links them into one object and makes
# NAME.skel.h from it. Link to the interface target NAME_skeleton to include it.

find_program(CLANG NAMES clang clang-19 clang-18 clang-17 clang-16 clang-15 clang-14 REQUIRED)
find_program(BPFTOOL NAMES bpftool HINTS /usr/sbin /usr/local/sbin REQUIRED)

# asm/types.h lives in the architecture's folder, where clang -target bpf does not look.
set(BPF_FLAGS -O2 -g -target bpf -mcpu=v3 -Wall -Wextra
	-I${PROJECT_SOURCE_DIR}/include -I/usr/include/${CMAKE_LIBRARY_ARCHITECTURE})
if(SIDELANE_WERROR)
	list(APPEND BPF_FLAGS -Werror)
endif()

function(add_bpf_skeleton name)
	set(objects)
	foreach(source IN LISTS ARGN)
		get_filename_component(base ${source} NAME_WE)
		set(object ${CMAKE_CURRENT_BINARY_DIR}/${base}.bpf.o)
		add_custom_command(OUTPUT ${object}
			COMMAND ${CLANG} ${BPF_FLAGS} -MD -MF ${object}.d
				-c ${CMAKE_CURRENT_SOURCE_DIR}/${source} -o ${object}
			DEPENDS ${source}
			DEPFILE ${object}.d
			COMMENT "Compiling ${source}"
			VERBATIM)
		list(APPEND objects ${object})
	endforeach()
	set(linked ${CMAKE_CURRENT_BINARY_DIR}/${name}.bpf.o)
	set(header ${CMAKE_CURRENT_BINARY_DIR}/${name}.skel.h)
	# By way of another name: a bpftool that fails must not leave half a header behind.
	add_custom_command(OUTPUT ${header}
		COMMAND ${BPFTOOL} gen object ${linked} ${objects}
		COMMAND ${BPFTOOL} gen skeleton ${linked} name ${name} > ${header}.new
		COMMAND ${CMAKE_COMMAND} -E rename ${header}.new ${header}
		DEPENDS ${objects}
		COMMENT "Making ${name}.skel.h"
		VERBATIM)
	add_custom_target(${name}_generate DEPENDS ${header})
	add_library(${name}_skeleton INTERFACE)
	add_dependencies(${name}_skeleton ${name}_generate)
	target_include_directories(${name}_skeleton SYSTEM INTERFACE ${CMAKE_CURRENT_BINARY_DIR})
endfunction()
